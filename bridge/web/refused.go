package web

import (
	"log/slog"
	"net/http"
	"strings"
)

// RefusedSignIn logs that somebody did not get in, in the one line that docs/operations.md has a fail2ban filter for. Part
// is "dav", "feed" or "page"; user is who was tried, "" where no name belongs to what was tried. The address is before
// anything that the client chose, and no secret is in the line.
func RefusedSignIn(log *slog.Logger, r *http.Request, part, user string) {
	const longest = 100 // in octets: more tells nobody anything
	user = strings.ToValidUTF8(user[:min(len(user), longest)], "")
	log.WarnContext(r.Context(), "sign-in refused", "address", ClientOf(r).Addr.String(), "part", part, "user", user)
}
