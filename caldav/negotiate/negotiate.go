// Package negotiate reads what a request says of representations: the conditions that hold it to a state of the
// resource (RFC 9110 §13), and the content codings that its client accepts (§12.5.3). It knows no DAV and no calendar.
package negotiate

import (
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tags is a condition's list of entity tags, without quotes and without weak marks; "*" is any.
type Tags []string

// IfMatch reads the header of that name; nil where it is not there or empty. One that has something else than tags is a
// condition that nothing meets: its client means to change a state that it knows, and must not overwrite another.
func IfMatch(h http.Header) Tags { return required(h["If-Match"]) }

// Required reads another header that is a condition as If-Match is; its name is in canonical form.
func Required(h http.Header, name string) Tags { return required(h[name]) }

func required(fields []string) Tags {
	tags := readTags(fields)
	if tags == nil && strings.TrimSpace(strings.Join(fields, "")) != "" {
		return Tags{noTag}
	}
	return tags
}

// IfNoneMatch reads the header of that name; nil where it is not there or holds no tag.
func IfNoneMatch(h http.Header) Tags { return readTags(h["If-None-Match"]) }

// noTag is the empty entity tag, which nothing has.
const noTag = `""`

// Has reports whether the list names an entity tag, given without quotes, of something that exists.
//
// A tag that was marked weak counts also in If-Match, where RFC 9110 §13.1.1 wants the strong comparison. The tags given
// out here are strong, so a weak one is the work of a proxy that compresses (nginx), and the octets are the same.
func (t Tags) Has(etag string) bool {
	return slices.ContainsFunc(t, func(tag string) bool {
		for tag != "*" && tag != etag {
			bare, coded := uncoded(tag)
			if !coded {
				return false
			}
			tag = bare
		}
		return true
	})
}

// Bare is the list without the suffixes of content codings. It is nil where the list is.
func (t Tags) Bare() []string {
	if t == nil {
		return nil
	}
	bare := make([]string, len(t))
	for i, tag := range t {
		coded := true
		for coded {
			tag, coded = uncoded(tag)
		}
		bare[i] = tag
	}
	return bare
}

// codingSuffixes are what servers append to the tag of an answer that is compressed: Apache "-gzip" and "-br", Caddy
// "-zstd" too, Jetty "--gzip", others ";gz". So do feeds here, and a server in between may add its own.
var codingSuffixes = []string{"--gzip", "-gzip", "-br", "-zstd", ";gz", ";br"}

func uncoded(tag string) (bare string, coded bool) {
	for _, suffix := range codingSuffixes {
		if bare, ok := strings.CutSuffix(tag, suffix); ok {
			return bare, true
		}
	}
	return tag, false
}

func readTags(fields []string) (tags Tags) {
	for _, field := range fields {
		for field != "" {
			var tag string
			if tag, field = cutTag(field); tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}

// cutTag cuts the first element off a list of tags; "" is an element that holds none. It takes tags without quotes, which
// some clients send, quotes with a backslash before them, as Evolution writes them, and a coding's suffix after the quotes,
// as Apache 2.2 writes it. An empty tag is one that nothing has.
func cutTag(list string) (tag, rest string) {
	list = strings.TrimLeft(list, " \t,")
	if list == "" {
		return "", ""
	}
	opaque := list
	if strings.HasPrefix(opaque, "W/") || strings.HasPrefix(opaque, "w/") {
		opaque = opaque[len("W/"):]
	}
	opaque = strings.TrimPrefix(opaque, `\`)
	if inside, ok := strings.CutPrefix(opaque, `"`); ok {
		if tag, rest, ok := strings.Cut(inside, `"`); ok {
			suffix, rest, _ := strings.Cut(rest, ",")
			if tag = strings.TrimSuffix(tag, `\`) + strings.TrimSpace(suffix); tag == "" {
				tag = noTag
			}
			return tag, rest
		}
	}
	tag, rest, _ = strings.Cut(opaque, ",")
	return strings.Trim(tag, " \t\\\""), rest
}

// State is what the conditions of a request are held against.
type State struct {
	ETag     string    // without quotes
	Modified time.Time // zero: not known, and conditions on it are as though they were not there
}

// Check evaluates the conditions in the order of RFC 9110 §13.2.2. The answer's status is http.StatusOK where the request
// is to be carried out, http.StatusNotModified, or http.StatusPreconditionFailed.
func (s State) Check(r *http.Request) int {
	if tags := IfMatch(r.Header); tags != nil {
		if !tags.Has(s.ETag) {
			return http.StatusPreconditionFailed
		}
	} else if s.ModifiedSince(r.Header.Get("If-Unmodified-Since")) {
		return http.StatusPreconditionFailed
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if tags := IfNoneMatch(r.Header); tags != nil {
		switch {
		case !tags.Has(s.ETag):
		case reads:
			return http.StatusNotModified
		default:
			return http.StatusPreconditionFailed
		}
	} else if reads && s.unmodifiedSince(r.Header.Get("If-Modified-Since")) {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// ModifiedSince reports whether the state is known to be later than an HTTP date, and unmodifiedSince whether it is known
// not to be. Of a text that is no date nothing is known (RFC 9110 §13.1.3, §13.1.4).
func (s State) ModifiedSince(date string) bool {
	since, ok := s.comparable(date)
	return ok && s.Modified.Truncate(time.Second).After(since)
}

func (s State) unmodifiedSince(date string) bool {
	since, ok := s.comparable(date)
	return ok && !s.Modified.Truncate(time.Second).After(since)
}

func (s State) comparable(date string) (time.Time, bool) {
	if date == "" || s.Modified.IsZero() {
		return time.Time{}, false
	}
	t, err := http.ParseTime(date)
	return t, err == nil
}

// Coding chooses among content codings that are on offer, the one that is best for us first; "" is identity, which is
// always on offer. What the client gives the greater weight goes first, and of equals what is offered first. Nobody is
// refused: where not even identity is accepted, that is the answer, since feed readers drop a calendar after a 406.
func Coding(h http.Header, offers ...string) string {
	accepts := slices.Collect(weights(h["Accept-Encoding"]))
	best, most := "", weightOf(accepts, "identity")
	for _, coding := range offers {
		if q := weightOf(accepts, coding); q > most || q == most && q > 0 && best == "" {
			best, most = coding, q
		}
	}
	return best
}

// weight is one element of Accept-Encoding: a coding in lower case, or "*", and its quality from 0 to 1.
type weight struct {
	coding string
	q      float64
}

// weightOf is 0 for what is not accepted, and for identity where it is not named: then all that is named goes before it.
// The asterisk stands for gzip and identity alone. Who accepts anything can read these, but hardly what came after them.
func weightOf(accepts []weight, coding string) float64 {
	for _, name := range []string{coding, "*"} {
		if name == "*" && coding != "gzip" && coding != "identity" {
			break
		}
		if i := slices.IndexFunc(accepts, func(w weight) bool { return w.coding == name }); i >= 0 {
			return accepts[i].q
		}
	}
	return 0
}

// weights leaves out elements whose weight cannot be read.
func weights(fields []string) iter.Seq[weight] {
	return func(yield func(weight) bool) {
		for _, field := range fields {
			for part := range strings.SplitSeq(field, ",") {
				name, param, _ := strings.Cut(part, ";")
				w := weight{coding: strings.ToLower(strings.TrimSpace(name)), q: 1}
				if w.coding == "x-gzip" { // RFC 9110 §8.4.1.3
					w.coding = "gzip"
				}
				ok := w.coding != ""
				if key, value, is := strings.Cut(param, "="); is && strings.EqualFold(strings.TrimSpace(key), "q") {
					q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
					w.q, ok = q, ok && err == nil && q >= 0 && q <= 1
				}
				if ok && !yield(w) {
					return
				}
			}
		}
	}
}
