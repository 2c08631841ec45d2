import pytest
from hookgate_interceptor_ip_allow import IpAllow

from hookgate import ConfigError
from hookgate.testing import build, through


@pytest.mark.parametrize(
    ("client", "status"),
    [("10.1.2.3", 200), ("192.0.2.1", 403), ("::ffff:10.1.2.3", 200), ("2001:db8::1", 200), ("2001:db9::1", 403)],
)
def test_only_named_networks_pass(client, status):
    gate = build(IpAllow, networks=["10.0.0.0/8", "2001:db8::/32"])

    assert through(gate, client=client).response.status == status


def test_steps_judge_for_themselves_and_each_time_alike():
    inner, outer = build(IpAllow, networks=["10.0.0.0/8"]), build(IpAllow, networks=["0.0.0.0/0"])

    for _ in range(2):
        assert through(inner, client="192.0.2.1").response.status == 403
        assert through(outer, client="192.0.2.1").response.status == 200
        assert through(inner, client="10.1.2.3").response.status == 200


def test_a_wrong_network_is_refused_at_load():
    with pytest.raises(ConfigError, match=r"networks\[0\]: .*network"):
        build(IpAllow, networks=["10.0.0.0/99"])
