package convert

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// Parameters of an ATTACH in the place of whose octets is their digest; see TakeFiles.
const (
	digestParam = "X-OUTBRIDGE-DIGEST"
	octetsParam = "X-OUTBRIDGE-OCTETS"
)

// maxFile is what a file that a client adds may have, in octets.
const maxFile = 25 << 20

// attachFile writes the link to a file (RFC 5545 §3.8.1.1, RFC 8607 §4).
func attachFile(comp *ical.Component, f Attachment) {
	p := ical.NewProp(ical.PropAttach)
	p.Value = f.URL
	for name, value := range map[string]string{"FMTTYPE": mediaTypeOf(f.Type), "FILENAME": oneLine(f.Name), "MANAGED-ID": f.Key} {
		if value != "" {
			p.Params.Set(name, value)
		}
	}
	if f.Size > 0 {
		p.Params.Set("SIZE", strconv.Itoa(f.Size))
	}
	comp.Props.Add(p)
}

// mediaTypeOf is a media type without parameters, "" for none.
func mediaTypeOf(s string) string {
	t, _, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(t, "/") {
		return ""
	}
	return t
}

// TakeFiles takes the files that are in an object out of it, and leaves their digests, by which FromICS knows them. They are
// returned by these. A *Refusal says that one cannot be read or is too large.
func TakeFiles(cal *ical.Calendar) (map[string][]byte, error) {
	var files map[string][]byte
	for _, c := range cal.Children {
		props := c.Props[ical.PropAttach]
		if c.Name != ical.CompEvent || len(props) == 0 {
			continue
		}
		kept := slices.Clone(props)
		for i := range kept {
			p := &kept[i]
			if p.Params.Get(digestParam) == "" && !isInline(*p) {
				continue
			}
			params := ical.Params{}
			for name, values := range p.Params {
				if !strings.HasPrefix(name, "X-OUTBRIDGE-") {
					params[name] = values
				}
			}
			octets, kind, err := inlineFile(*p)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(octets)
			digest := hex.EncodeToString(sum[:])
			if kind != "" && params.Get("FMTTYPE") == "" {
				params.Set("FMTTYPE", kind)
			}
			params.Set("ENCODING", "BASE64")
			params.Set(ical.ParamValue, "BINARY")
			params.Set(digestParam, digest)
			params.Set(octetsParam, strconv.Itoa(len(octets)))
			p.Params, p.Value = params, ""
			if files == nil {
				files = map[string][]byte{}
			}
			files[digest] = octets
		}
		c.Props[ical.PropAttach] = kept
	}
	return files, nil
}

// PutFile adds a file to a component, as TakeFiles leaves one.
func PutFile(c *ical.Component, name, kind, digest string, octets int) {
	p := ical.NewProp(ical.PropAttach)
	for param, value := range map[string]string{"ENCODING": "BASE64", ical.ParamValue: "BINARY", "FILENAME": name, "FMTTYPE": mediaTypeOf(kind), digestParam: digest, octetsParam: strconv.Itoa(octets)} {
		if value != "" {
			p.Params.Set(param, value)
		}
	}
	c.Props.Add(p)
}

// isInline is whether an ATTACH has its file in it.
func isInline(p ical.Prop) bool {
	return strings.EqualFold(p.Params.Get("ENCODING"), "BASE64") || strings.EqualFold(p.Params.Get(ical.ParamValue), "BINARY") ||
		strings.HasPrefix(strings.ToLower(p.Value), "data:")
}

// inlineFile are the octets of a file that is in an ATTACH, and their media type where the value says it.
func inlineFile(p ical.Prop) (octets []byte, kind string, err error) {
	text := p.Value
	encoded := true
	if strings.HasPrefix(strings.ToLower(text), "data:") { // RFC 2397
		head, rest, _ := strings.Cut(text[len("data:"):], ",")
		encoded = strings.HasSuffix(strings.ToLower(head), ";base64")
		kind, text = mediaTypeOf(head[:len(head)-len(";base64")*b2i(encoded)]), rest
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
	}
	octets = []byte(text)
	if encoded {
		if strings.ContainsAny(text, " \t\r\n") {
			text = strings.Join(strings.Fields(text), "")
		}
		text = strings.TrimRight(text, "=")
		if octets, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return nil, "", refuse(RefusedData, "The attached file %s cannot be read; attach it once more.", clip(fileNameOf(p)))
		}
	}
	if len(octets) > maxFile {
		return nil, "", refuse(RefusedAttachment, "The attached file %s has more than 25 MiB; attach it in Outlook, or send a link to it.", clip(fileNameOf(p)))
	}
	return octets, kind, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fileNames are the parameters that programs write the name of a file in.
var fileNames = []string{"FILENAME", "X-FILENAME", "X-EVOLUTION-CALDAV-ATTACHMENT-NAME", "X-LABEL", "X-ORACLE-FILENAME", "X-APPLE-FILENAME", "LABEL", "X-NAME", "NAME"}

// fileNameOf is the name of an attached file.
func fileNameOf(p ical.Prop) string {
	for _, param := range fileNames {
		name := p.Params.Get(param)
		name = oneLine(name[strings.LastIndexAny(name, `/\`)+1:])
		if len(name) > 200 {
			name = strings.ToValidUTF8(name[:200], "")
		}
		if strings.Trim(name, ". ") != "" {
			return name
		}
	}
	name := "attachment"
	if kind := mediaTypeOf(p.Params.Get("FMTTYPE")); kind != "" {
		if endings, err := mime.ExtensionsByType(kind); err == nil && len(endings) > 0 {
			name += endings[0]
		}
	}
	return name
}

var ownFile = regexp.MustCompile(`/dav/att/([0-9a-f]{40})(?:/|$)`)

// keyOf is what an ATTACH names a file that this server keeps by, "" where it is another link.
func keyOf(p ical.Prop) string {
	if m := ownFile.FindStringSubmatch(p.Value); m != nil {
		return m[1]
	}
	return ""
}

// fileDiff is what a client has attached to a component, and what it has taken away.
type fileDiff struct {
	added   []Attachment
	removed []Attachment
}

// filesOf compares a component with the one that the client had, nil for none, of an event that has some files.
func (d *differ) filesOf(base, want *ical.Component, have []Attachment) (f fileDiff) {
	names := func(c *ical.Component, a Attachment) bool {
		return c != nil && slices.ContainsFunc(c.Props[ical.PropAttach], func(p ical.Prop) bool {
			return a.Key != "" && (keyOf(p) == a.Key || p.Params.Get("MANAGED-ID") == a.Key) || a.URL != "" && p.Value == a.URL
		})
	}
	carries := d.Files
	if !carries {
		carries = carrier(d.Client, propOf(d.New.Component, ical.PropProductID).Value)(ical.PropAttach)
	}
	sent := func(a Attachment) bool { // the file itself in place of the link to it
		return a.Digest != "" && slices.ContainsFunc(want.Props[ical.PropAttach], func(p ical.Prop) bool { return p.Params.Get(digestParam) == a.Digest })
	}
	for _, a := range have {
		if carries && d.Current != nil && names(base, a) && !names(want, a) && !sent(a) {
			f.removed = append(f.removed, a)
		}
	}
	seen := func(list []Attachment, same func(Attachment) bool) bool { return slices.ContainsFunc(list, same) }
	for _, p := range want.Props[ical.PropAttach] {
		digest := p.Params.Get(digestParam)
		a := Attachment{Name: fileNameOf(p), Type: mediaTypeOf(p.Params.Get("FMTTYPE"))}
		switch key := keyOf(p); {
		case digest != "":
			same := func(other Attachment) bool { return other.Digest == digest }
			if seen(have, same) || seen(f.added, same) {
				continue
			}
			a.Digest = digest
			a.Size, _ = strconv.Atoi(p.Params.Get(octetsParam))
		case key != "":
			// A link to a file of another event, which this one was copied from.
			if seen(have, func(h Attachment) bool { return h.Key == key || h.URL == p.Value }) || names(base, Attachment{Key: key}) {
				continue
			}
			a.Key = key
		default:
			continue
		}
		f.added = append(f.added, a)
	}
	return f
}

func (f fileDiff) steps(s Step) (list []Step) {
	add := func(op Op, files []Attachment) {
		for _, a := range files {
			s.Op, s.Attachment = op, &a
			list = append(list, s)
		}
	}
	add(OpAttach, f.added)
	add(OpDetach, f.removed)
	return list
}

// masterFiles are the steps for the files of the event itself.
func (d *differ) masterFiles() error {
	var base *ical.Component
	if d.base != nil {
		base = d.base.master
	}
	return d.attach(d.filesOf(base, d.want.master, d.Series.Attachments[d.Series.Event.ID].Files).steps(Step{}))
}

// occurrenceFiles are those for the files of single occurrences. One that is no exception yet becomes one with copies of what its
// series has.
func (d *differ) occurrenceFiles() error {
	for _, date := range sortedKeys(d.want.parts) {
		want := d.want.parts[date]
		if d.excludes(date) || want == nil {
			continue
		}
		e, isException := d.exceptions[date]
		have := d.Series.Attachments[e.ID].Files
		if !isException {
			have = slices.Clone(d.Series.Attachments[d.Series.Event.ID].Files)
			for i := range have {
				have[i].ID = "" // a copy has another
			}
		}
		var base *ical.Component
		if d.base != nil {
			base = d.base.component(date)
		}
		diff := d.filesOf(base, want, have)
		if !isException {
			// What the series is about to get is among the copies.
			of := d.filesOf(nil, d.want.master, nil).added
			diff.added = slices.DeleteFunc(diff.added, func(a Attachment) bool {
				return slices.ContainsFunc(of, func(m Attachment) bool { return a.Digest == m.Digest && a.Key == m.Key })
			})
		}
		if err := d.attach(diff.steps(Step{Occurrence: date, ID: e.ID})); err != nil {
			return err
		}
	}
	return nil
}

// attach appends steps for files, or refuses them.
func (d *differ) attach(steps []Step) error {
	if d.Series.Attachments == nil {
		steps = slices.DeleteFunc(steps, func(s Step) bool { return s.Attachment.Digest == "" })
		if len(steps) > 0 {
			return refuse(RefusedAttachment, "Files cannot be attached from here; attach %s in Outlook.", clip(steps[0].Attachment.Name))
		}
	}
	d.steps = append(d.steps, steps...)
	return nil
}

// invitedFiles refuses to attach files to somebody else's meeting. That a link to one is missing means nothing there.
func (d *differ) invitedFiles() error {
	for date, want := range d.want.parts {
		if err := d.notInvited(d.base.component(date), want, d.exceptions[date].ID); err != nil {
			return err
		}
	}
	return d.notInvited(d.base.master, d.want.master, d.Series.Event.ID)
}

func (d *differ) notInvited(base, want *ical.Component, id graph.EventID) error {
	f := d.filesOf(base, want, slices.Concat(d.Series.Attachments[id].Files, d.Series.Attachments[d.Series.Event.ID].Files))
	f.added = slices.DeleteFunc(f.added, func(a Attachment) bool { return a.Digest == "" })
	if len(f.added) > 0 || d.Files && len(f.removed) > 0 {
		return refuse(RefusedAttendee, "Only the organizer can change what is attached to this meeting.")
	}
	return nil
}

// isOwnLink is whether a content line is the link to one of the files of the events.
func (s Series) isOwnLink(line string) bool {
	if lineName(line) != ical.PropAttach {
		return false
	}
	value := string(ics.Line(line).Value())
	if ownFile.MatchString(value) {
		return true
	}
	for _, a := range s.Attachments {
		if slices.ContainsFunc(a.Files, func(f Attachment) bool { return f.URL != "" && f.URL == value }) {
			return true
		}
	}
	return false
}
