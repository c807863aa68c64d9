package caldav

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// move answers MOVE and COPY of an object (RFC 4918 §9.8, §9.9). Collections are not moved.
func (x *exchange) move() error {
	if x.target.kind != kindObject {
		return x.refuseWrite()
	}
	from, err := x.calendar()
	if err != nil {
		return err
	}
	moves := x.req.Method == "MOVE"
	if moves {
		if _, err := x.writer(from); err != nil {
			return err
		}
	}
	switch d := x.req.Header.Get("Depth"); {
	case d == "", strings.EqualFold(d, "infinity"), d == "0" && !moves:
	default:
		return badRequest("malformed Depth header")
	}
	to, w, err := x.destination()
	if err != nil && !from.Writable {
		return x.refuseWrite() // wherever it was to go
	}
	if err != nil {
		return err
	}
	if to.Calendar.Name == from.Name && to.Name == x.target.object {
		return forbidden(ValidCalendarObject).because("The event is where it would go already.")
	}
	do := w.Copy
	if moves {
		do = w.Move
	}
	done, err := do(x.ctx, from, x.target.object, to, x.writeRequest())
	if err != nil {
		return x.unmet(from, err)
	}
	return x.written(to.Calendar, to.Name, done, nil)
}

// destination reads the headers that say where a MOVE or a COPY goes (RFC 4918 §10.3, §10.6).
func (x *exchange) destination() (to Destination, w WriteBackend, err error) {
	switch o := strings.TrimSpace(x.req.Header.Get("Overwrite")); {
	case o == "", strings.EqualFold(o, "T"):
		to.Overwrite = true
	case strings.EqualFold(o, "F"):
	default:
		return to, nil, badRequest("malformed Overwrite header")
	}
	t, err := x.parseDestination(x.req.Header.Get("Destination"))
	if err != nil {
		return to, nil, err
	}
	lacks := &statusError{status: http.StatusForbidden, condition: NeedPrivileges, lacks: privilege{x.outside(parentHref(t.href)), "bind"}}
	if t.kind != kindObject || t.user != x.principal.Name {
		return to, nil, lacks
	}
	to.Name = t.object
	to.Calendar, err = x.h.Backend.Calendar(x.ctx, x.principal, t.calendar)
	if errors.Is(err, ErrNotFound) {
		return to, nil, &statusError{status: http.StatusConflict, sentence: "no such calendar"} // RFC 4918 §9.8.5
	}
	if err != nil {
		return to, nil, err
	}
	w, ok := x.h.Backend.(WriteBackend)
	if !ok || !to.Calendar.Writable {
		return to, nil, lacks
	}
	return to, w, nil
}

// parseDestination reads a Destination header: a path or a URL of this server.
func (x *exchange) parseDestination(header string) (target, error) {
	u, err := url.Parse(strings.TrimSpace(header))
	if header == "" || err != nil || u.Opaque != "" {
		return target{}, badRequest("malformed Destination header")
	}
	if u.Host != "" && !x.isOwnHost(u) {
		return target{}, forbidden(ValidCalendarObject).because("An event can only be moved to a calendar of the same server.")
	}
	path := x.inside(u.EscapedPath())
	t, err := parsePath(path)
	switch {
	case errors.Is(err, errMalformedPath):
		return t, x.refusedName(path, err)
	case errors.Is(err, ErrNotFound):
		return t, &statusError{status: http.StatusConflict, sentence: "no such calendar"}
	}
	return t, err
}

// isOwnHost reports whether a URL is of the host that the request went to, or of the one that clients know.
func (x *exchange) isOwnHost(u *url.URL) bool {
	own := []string{x.req.Host}
	if public, err := url.Parse(x.h.PublicURL); err == nil && public.Host != "" {
		own = append(own, public.Host)
	}
	for _, host := range own {
		if strings.EqualFold(withoutDefaultPort(host), withoutDefaultPort(u.Host)) {
			return true
		}
	}
	return false
}

func withoutDefaultPort(host string) string {
	if h, port, err := net.SplitHostPort(host); err == nil && (port == "443" || port == "80") {
		return h
	}
	return host
}
