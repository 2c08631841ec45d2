"""What is done in the store: one script takes from every limit or from none, by the clock of the server."""

TAKE = """
-- KEYS: where each limit is counted. ARGV: the time, or nothing for that of the server; then for each limit
-- its cost, the seconds in which a unit comes back (0: a calendar window), the most of it, the name of the window,
-- and how many units more are welcome, for a lease.
-- Gives the number of the limit that refused, or 0, and for each what was used before, the seconds until
-- the calendar window ends, and the units that were given beyond the cost.
local now
if ARGV[1] == '' then
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1e6
else
    now = tonumber(ARGV[1])
end

local LENGTHS = {second = 1, minute = 60, hour = 3600, day = 86400, week = 604800}
local MONTHS = {31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31}  -- from March on: February, if it is that, comes last

local function end_of(window)
    if window ~= 'month' then
        local length = LENGTHS[window]
        local offset = window == 'week' and 345600 or 0  -- the epoch began on a Thursday
        return math.floor((now - offset) / length) * length + offset + length
    end
    -- days since the first of March of the year 0, in eras of 400 years
    local days = math.floor(now / 86400) + 719468
    local era = math.floor(days / 146097)
    local in_era = days - era * 146097
    local years = math.floor((in_era - math.floor(in_era / 1460) + math.floor(in_era / 36524)
        - math.floor(in_era / 146096)) / 365)
    local in_year = in_era - (365 * years + math.floor(years / 4) - math.floor(years / 100))
    local month = math.floor((5 * in_year + 2) / 153)  -- 0 is March
    local first = in_year - math.floor((153 * month + 2) / 5)  -- days of this month that have passed
    local length = MONTHS[month + 1]
    if length == nil then
        local year = years + era * 400 + 1
        length = (year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)) and 29 or 28
    end
    return (math.floor(now / 86400) - first + length) * 86400
end

local held = {}  -- what is written at the end, if all limits allow it
local answer = {0}

local function text(number) return string.format('%.17g', number) end

for i, key in ipairs(KEYS) do
    local at = 2 + (i - 1) * 5
    local cost, interval, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local window, more = ARGV[at + 3], tonumber(ARGV[at + 4])
    local state = held[key]
    if state == nil then
        state = {whole = 0, used = 0, taken = false}
        local kept = redis.call('GET', key)
        if kept then
            local whole, used = string.match(kept, '^(%S+) (%S+)$')
            state.whole, state.used = tonumber(whole) or 0, tonumber(used) or 0
        end
        held[key] = state
    end
    local before, rest, left
    if interval > 0 then
        before, rest = math.max(math.min(state.whole - now, most), 0), 0
        left = (most - before) / interval + 1e-6 - cost
    else
        local ends = end_of(window)
        if state.whole < ends then state.whole, state.used = ends, 0 end
        before, rest = state.used, state.whole - now
        left = most - before - cost
    end
    if left < 0 then
        return {i, text(before), text(rest), 0}
    end
    -- a lease is never more than a quarter of what is left, so that the last units are anybody's
    local lease = math.max(math.min(more, math.floor(left / 4)), 0)
    local units = cost + lease
    if units > 0 then
        state.taken = true
        if interval > 0 then state.whole = now + before + units * interval else state.used = before + units end
    end
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = text(before), text(rest), lease
end

for key, state in pairs(held) do
    if state.taken then
        local life = math.min(math.max(math.ceil((state.whole - now) * 1000), 0) + 1000, 1e12)
        redis.call('SET', key, string.format('%.17g %.0f', state.whole, state.used), 'PX', string.format('%.0f', life))
    end
end
return answer
"""
"""Redis 5 and later, any Valkey. What is written is worth nothing after a second past its time, and is then dropped."""
