package httpkind

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	t.Parallel()
	g := newGuard(nil)
	for address, want := range map[string]string{
		"8.8.8.8": "", "1.1.1.1": "", "100.128.0.1": "", "172.32.0.1": "", "2606:4700::1111": "", "64:ff9b::808:808": "", "2002:808:808::1": "",
		"::ffff:8.8.8.8": "",

		"0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "127.0.0.1": "loopback", "127.255.0.1": "loopback", "10.1.2.3": "private",
		"172.16.0.1": "private", "172.31.255.255": "private", "192.168.0.1": "private", "100.64.0.1": "carrier's private",
		"100.127.255.255": "carrier's private", "169.254.169.254": "link-local", "224.0.0.1": "multicast", "239.255.255.255": "multicast",
		"255.255.255.255": "reserved", "240.0.0.1": "reserved", "192.0.0.192": "reserved", "198.18.0.1": "private",

		"::": "unspecified", "::1": "loopback", "fe80::1": "link-local", "fe80::1%eth0": "link-local", "fc00::1": "private",
		"fd00:ec2::254": "private", "fec0::1": "private", "ff02::1": "multicast", "::ffff:127.0.0.1": "loopback",
		"::ffff:169.254.169.254": "link-local", "::ffff:10.0.0.1": "private", "64:ff9b::7f00:1": "loopback", "64:ff9b::a9fe:a9fe": "link-local",
		"64:ff9b:1::1": "reserved", "2002:7f00:1::1": "loopback", "2002:a00:1::": "private", "2001:0:1::1": "tunnel",
		"::127.0.0.1": "reserved", "::ffff:0:127.0.0.1": "reserved", "100::1": "reserved", "4000::1": "reserved",
	} {
		err := g.check(netip.MustParseAddr(address))
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), "a "+want+" address") {
			t.Errorf("%s: want %q, have %v", address, want, err)
		}
	}
	if err := g.control("tcp", "nonsense", nil); err == nil {
		t.Error("want what is no address to be refused")
	}
}

func TestTheOperatorAllowsNetworks(t *testing.T) {
	t.Parallel()
	g := newGuard([]netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/16"), netip.MustParsePrefix("::ffff:192.168.0.0/112"), netip.MustParsePrefix("fd00::/64"),
		netip.MustParsePrefix("fe80::/64"),
		{},
	})
	for address, want := range map[string]bool{
		"10.1.0.1": true, "10.2.0.1": false, "::ffff:10.1.0.1": true, "64:ff9b::a01:1": true, "64:ff9b::a02:1": false, "192.168.1.1": true,
		"192.169.0.1": true, "fd00::5": true, "fd01::5": false, "fe80::1%eth0": true, "127.0.0.1": false, "169.254.169.254": false, "::1": false,
	} {
		if err := g.check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("%s: want %v, have %v", address, want, err)
		}
	}
}

func TestLoopbackIsForbiddenUnderEveryName(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	f.kind = newTestKind(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	port := f.server.URL[strings.LastIndex(f.server.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.9.9.9", "0.0.0.0"} {
		f.fn.HTTP.URL = "http://" + host + port + "/secret?token=" + testKey
		failure := f.mustFail(t.Context(), wire.FailureForbidden, "address, which the operator does not allow")
		if failure.Ill {
			t.Errorf("%s: the target is not to blame", host)
		}
	}
	f.fn.HTTP.URL = "http://169.254.169.254/latest/meta-data/"
	f.mustFail(t.Context(), wire.FailureForbidden, "169.254.169.254 leads to a link-local address")
}

func TestNamesOfWhatIsAllowedAreDialled(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, answers(http.StatusOK, "text/plain", "hello"))
	f.fn.HTTP.URL = strings.Replace(f.server.URL, "127.0.0.1", "localhost", 1)
	f.mustGive(`"hello"`)
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	proxy := newTestFixture(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	t.Setenv("HTTP_PROXY", proxy.server.URL)
	t.Setenv("http_proxy", proxy.server.URL)
	f := newTestFixture(t, answers(http.StatusNoContent, "", ""))
	f.mustGive("null")
	if f.kind.transport.Proxy != nil {
		t.Error("there is a proxy")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"http://evil.example:99/path?token=" + testKey: "answered 302 and leads to evil.example, which is not followed",
		"/inside":  "leads elsewhere on the same host",
		"http://[": "does not say properly where it leads",
		"":         "leads elsewhere on the same host",
	} {
		asked := 0
		f := newTestFixture(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			answers(http.StatusFound, "text/plain", "moved", "Location", location)(w, r)
		})
		if failure := f.mustFail(t.Context(), wire.FailureRejected, want); failure.Ill || strings.Contains(failure.Message, "path") || asked != 1 {
			t.Errorf("%s: asked %d times, have %v", location, asked, failure)
		}
	}
	f := newTestFixture(t, answers(http.StatusFound, "text/plain", "moved"))
	f.fn.HTTP.Success = []string{"302"}
	f.mustGive(`"moved"`)
}
