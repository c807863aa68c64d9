package web

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
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

// secretsOf are the secrets that a request has, in its headers, its path, its query and its form, the longest first.
func secretsOf(r *http.Request) (all []string) {
	add := func(texts ...string) {
		for _, text := range texts {
			for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text)} {
				if len(form) >= 4 { // less is in every text
					all = append(all, form)
				}
			}
		}
	}
	for _, prefix := range []string{"/feeds/", "/profile/", "/invitation/"} {
		if name, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
			name, _, _ = strings.Cut(name, "/")
			secret, _, _ := strings.Cut(name, ".")
			add(name, secret)
		}
	}
	_, password, _ := r.BasicAuth()
	_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	add(password, credentials)
	for _, c := range r.Cookies() {
		add(c.Value)
	}
	for _, values := range []url.Values{r.URL.Query(), r.PostForm} {
		for _, name := range []string{"password", "repeat", "current", "code", "state", "shown", "again", "client_secret", "certificate"} {
			add(values[name]...)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// without is text with secrets blotted out.
func without(secrets []string, text string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return text
}
