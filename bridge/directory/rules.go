package directory

import (
	"fmt"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// Rules say who of the members gets an account. An entry is an object id, an address, or "*@" and a domain. Deny wins.
type Rules struct {
	Allow []string // none: everybody
	Deny  []string
}

// CheckEntry refuses what is no entry of Rules.
func CheckEntry(entry string) error {
	local, domain, ok := strings.Cut(entry, "@")
	switch {
	case ok && local != "" && domain != "" && !strings.ContainsAny(domain, "@*") && (local == "*" || !strings.Contains(local, "*")):
		return nil
	case !ok && entry != "" && !strings.ContainsAny(entry, "* \t"):
		return nil
	}
	return fmt.Errorf(`%q: write an object id, an address like alice@contoso.com, or "*@contoso.com" for a domain`, entry)
}

// leavesOut is why a member gets no account; "": they get one. elsewhere are the addresses and
// object ids of whom other accounts are of.
func (r Rules) leavesOut(u graph.DirectoryUser, elsewhere map[string]bool) bridge.LeftOutReason {
	switch {
	case strings.EqualFold(u.UserType, "Guest"):
		return bridge.LeftOutGuest
	case u.AccountEnabled != nil && !*u.AccountEnabled:
		return bridge.LeftOutDisabled
	case !strings.Contains(u.Mail, "@"):
		return bridge.LeftOutNoAddress
	case matches(r.Deny, u):
		return bridge.LeftOutDenied
	case len(r.Allow) > 0 && !matches(r.Allow, u):
		return bridge.LeftOutNotAllowed
	}
	for _, address := range append(u.Aliases(), u.Mail, u.UserPrincipalName, u.ID) {
		if elsewhere[strings.ToLower(address)] {
			return bridge.LeftOutConfigured
		}
	}
	return ""
}

// denies reports whether a member is denied, as far as is known without asking the directory: by their object id and their address.
func (r Rules) denies(m bridge.Member) bool {
	return matches(r.Deny, graph.DirectoryUser{ID: m.ObjectID, Mail: m.Mailbox})
}

// matches reports whether an entry is about somebody, under any of their addresses.
func matches(entries []string, u graph.DirectoryUser) bool {
	if len(entries) == 0 {
		return false
	}
	addresses := append(u.Aliases(), u.Mail, u.UserPrincipalName)
	for _, entry := range entries {
		if strings.EqualFold(entry, u.ID) {
			return true
		}
		domain, all := strings.CutPrefix(entry, "*@")
		for _, address := range addresses {
			_, of, _ := strings.Cut(address, "@")
			if all && strings.EqualFold(of, domain) || strings.EqualFold(address, entry) {
				return true
			}
		}
	}
	return false
}

const maxName = 60 // so that a suffix has room in the 64 that a name may have

// nameOf makes the name of an account out of an address: what is before the "@", as far as a name may have it.
func nameOf(address string) string {
	local, _, _ := strings.Cut(strings.ToLower(address), "@")
	var b strings.Builder
	for _, c := range local {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteRune(c)
		case c == '.', c == '_', c == '-':
			if b.Len() > 0 {
				b.WriteRune(c)
			}
		default:
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
	}
	name := b.String()
	name = strings.TrimRight(name[:min(len(name), maxName)], ".-_")
	if name == "" {
		return "user"
	}
	return name
}

// free is name, or name with the first number that nobody has.
func free(name string, taken map[string]bool) string {
	if !taken[name] {
		return name
	}
	for n := 2; ; n++ {
		if numbered := fmt.Sprintf("%s-%d", name, n); !taken[numbered] {
			return numbered
		}
	}
}
