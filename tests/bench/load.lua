-- What wrk sends, and what it tells: one line of JSON.
-- Arguments: METHOD, bytes of the request body, and how many paths /r0/7, /r1/7, … to call at random (0 for the URL's).
function init(args)
   wrk.method = args[1]
   if tonumber(args[2]) > 0 then
      wrk.body = string.rep("x", tonumber(args[2]))
   end
   local count = tonumber(args[3])
   if count > 0 then
      math.randomseed(1)
      function request()
         return wrk.format(nil, "/r" .. math.random(0, count - 1) .. "/7")
      end
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "bytes": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, ' ..
      '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
      summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
      e.connect, e.read, e.write, e.status, e.timeout))
end
