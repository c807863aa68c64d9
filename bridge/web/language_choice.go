package web

import (
	"cmp"
	"net/http"
	"net/url"
)

// languageCookie holds the language that somebody has chosen at the foot of a page.
const languageCookie = "outbridge-language"

// languageLink shows a page in a language, now and from then on.
type languageLink struct {
	*Language
	Link    string
	Current bool
}

// chooseLanguage finds out which language the page is in: the one that ?lang= names, which is then kept, the one that was chosen
// before, or that of the browser.
func (v *visit) chooseLanguage() {
	if tag := v.r.URL.Query().Get("lang"); tag != "" {
		if l, ok := FindLanguage(tag); ok {
			v.lang = l
			v.setCookie(languageCookie, l.Tag, markLife)
			return
		}
	}
	if c, err := v.r.Cookie(v.cookieName(languageCookie)); err == nil {
		if l, ok := FindLanguage(c.Value); ok {
			v.lang = l
			return
		}
	}
	v.lang = acceptLanguage(v.r.Header.Get("Accept-Language"), cmp.Or(v.h.Language, English))
}

// languageLinks lead to the page itself, or to the one that an answer to a form leads back to.
func (v *visit) languageLinks() (list []languageLink) {
	at := url.URL{Path: v.r.URL.Path, RawPath: v.r.URL.RawPath}
	q := v.r.URL.Query()
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
		at, q = url.URL{Path: cmp.Or(v.back, "/")}, url.Values{}
	}
	// The notice is of what was done just before, not by following the link.
	q.Del("done")
	if comesBack(q) { // from Microsoft, which cannot be repeated
		q = url.Values{}
	}
	for _, l := range Languages() {
		q.Set("lang", l.Tag)
		at.RawQuery = q.Encode()
		list = append(list, languageLink{l, v.h.base() + at.EscapedPath() + "?" + at.RawQuery, l == v.lang})
	}
	return list
}
