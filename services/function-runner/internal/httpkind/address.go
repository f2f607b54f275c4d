package httpkind

import (
	"net/netip"
	"slices"
	"syscall"
)

// forbiddenError is why an address is not dialled. It does not name it: who writes a function
// need not learn what is in the operator's network.
type forbiddenError struct{ what string }

func (e *forbiddenError) Error() string {
	return "a " + e.what + " address, which the operator does not allow"
}

// guard decides which addresses may be dialled.
type guard struct{ allow []netip.Prefix }

func newGuard(allow []netip.Prefix) *guard {
	g := &guard{}
	for _, prefix := range allow {
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		g.allow = append(g.allow, prefix.Masked())
	}
	return g
}

// control is asked right before a socket connects, with the address that it connects to.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &forbiddenError{"strange"}
	}
	return g.check(to.Addr())
}

func (g *guard) check(address netip.Addr) error {
	address = address.WithZone("").Unmap()
	if g.allows(address) {
		return nil
	}
	if inner, ok := embedded(address); ok {
		return g.check(inner)
	}
	for _, n := range closed {
		if n.prefix.Contains(address) {
			return &forbiddenError{n.what}
		}
	}
	if address.Is6() && !globalUnicast.Contains(address) {
		return &forbiddenError{"reserved"}
	}
	return nil
}

func (g *guard) allows(address netip.Addr) bool {
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(address) })
}

// globalUnicast are the only public addresses of IPv6, besides those that embed one of IPv4.
var globalUnicast = netip.MustParsePrefix("2000::/3")

type network struct {
	prefix netip.Prefix
	what   string
}

var closed = []network{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier's private"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"}, // Here is the metadata of clouds.
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "private"}, // For measurements in a network of one's own.
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("2001::/32"), "tunnel"}, // Teredo: it hides where it leads.
}

// embeddings are networks of IPv6 that lead to an address of IPv4, which begins at a byte.
var embeddings = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

func embedded(address netip.Addr) (netip.Addr, bool) {
	for _, e := range embeddings {
		if e.prefix.Contains(address) {
			bytes := address.As16()
			return netip.AddrFrom4([4]byte(bytes[e.at : e.at+4])), true
		}
	}
	return netip.Addr{}, false
}
