package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"outbridge/bridge/graph"
)

// ReadEvents reads events as Graph writes them: one event, an array of them, a page of an answer ({"value": […]}), or
// several of these one after the other. It takes a byte order mark, and the UTF-16 that PowerShell writes. An error is
// one line that says where: malformed JSON, or JSON that is no event.
func ReadEvents(r io.Reader) ([]graph.Event, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	data = toUTF8(data)
	in := &input{data: data}
	dec := json.NewDecoder(bytes.NewReader(data))
	var events []graph.Event
	for n := 0; ; n++ {
		start := dec.InputOffset()
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			if n == 0 {
				return nil, errors.New("the input is empty: no event found")
			}
			return events, nil
		} else if err != nil {
			return nil, in.syntax(err, dec.InputOffset())
		}
		// Decode skips white space before the value and ends right after it.
		start = max(start, dec.InputOffset()-int64(len(raw)))
		if events, err = in.read(events, raw, int(start), true); err != nil {
			return nil, err
		}
	}
}

type input struct{ data []byte }

// at is a place in the input for a person.
func (in *input) at(offset int) string {
	offset = min(max(offset, 0), len(in.data))
	before := in.data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", line, offset-bytes.LastIndexByte(before, '\n'))
}

func (in *input) syntax(err error, offset int64) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: the JSON is malformed: %s", in.at(int(syntax.Offset)-1), syntax)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the JSON ends in the middle", in.at(len(in.data)))
	}
	return fmt.Errorf("%s: %w", in.at(int(offset)), err)
}

// read adds the events of one JSON value that begins at offset. top is whether it may be an array or a page.
func (in *input) read(events []graph.Event, raw json.RawMessage, offset int, top bool) ([]graph.Event, error) {
	switch kind := raw[0]; {
	case kind == '{':
		var props map[string]json.RawMessage
		if err := json.Unmarshal(raw, &props); err != nil {
			return nil, fmt.Errorf("%s: %w", in.at(offset), err)
		}
		if value, ok := props["value"]; ok && top && !isEvent(props) {
			if len(value) == 0 || value[0] != '[' {
				return nil, fmt.Errorf(`%s: the "value" of a page is to be an array of events`, in.at(offset))
			}
			inner := bytes.Index(raw, value)
			return in.read(events, value, offset+max(inner, 0), true)
		}
		if problem, ok := props["error"]; ok && !isEvent(props) {
			var e struct{ Code, Message string }
			_ = json.Unmarshal(problem, &e) // the message below stands without them
			return nil, fmt.Errorf("%s: this is a Graph error, not an event: %s", in.at(offset), clip(e.Code+" "+e.Message))
		}
		if !isEvent(props) {
			return nil, fmt.Errorf("%s: this object is not an event: it has none of id, subject, start, end", in.at(offset))
		}
		var e graph.Event
		if err := e.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", in.at(offset), err)
		}
		return append(events, e), nil
	case kind == '[' && top:
		dec := json.NewDecoder(bytes.NewReader(raw))
		if _, err := dec.Token(); err != nil {
			return nil, in.syntax(err, int64(offset))
		}
		before, null := len(events), -1
		for dec.More() {
			var item json.RawMessage
			if err := dec.Decode(&item); err != nil {
				return nil, in.syntax(err, int64(offset)+dec.InputOffset())
			}
			var err error
			if string(item) == "null" { // which pages have among their events now and then
				if null < 0 {
					null = offset + int(dec.InputOffset()) - len(item)
				}
				continue
			}
			isPage := item[0] == '{'
			if events, err = in.read(events, item, offset+int(dec.InputOffset())-len(item), isPage); err != nil {
				return nil, err
			}
		}
		if null >= 0 && len(events) == before {
			return nil, fmt.Errorf("%s: null is not an event", in.at(null))
		}
		return events, nil
	default:
		return nil, fmt.Errorf("%s: %s is not an event", in.at(offset), map[byte]string{'[': "an array in an array", '"': "a string",
			't': "true", 'f': "false", 'n': "null"}[kind]+map[bool]string{true: "a number"}[kind == '-' || kind >= '0' && kind <= '9'])
	}
}

// isEvent is whether a JSON object has anything of an event.
func isEvent(props map[string]json.RawMessage) bool {
	for name := range props {
		switch strings.ToLower(name) {
		case "id", "icaluid", "subject", "start", "end", "type", "seriesmasterid", "occurrenceid", "recurrence", "originalstart", "@removed":
			return true
		}
	}
	return false
}

// toUTF8 takes off a byte order mark, and brings UTF-16 into UTF-8.
func toUTF8(b []byte) []byte {
	switch {
	case bytes.HasPrefix(b, []byte("\xEF\xBB\xBF")):
		return b[3:]
	case bytes.HasPrefix(b, []byte("\xFF\xFE")), bytes.HasPrefix(b, []byte("\xFE\xFF")):
		lo, hi := 0, 1
		if b[0] == 0xFE {
			lo, hi = 1, 0
		}
		u := make([]uint16, 0, len(b)/2)
		for i := 2; i+1 < len(b); i += 2 {
			u = append(u, uint16(b[i+lo])|uint16(b[i+hi])<<8)
		}
		return []byte(string(utf16.Decode(u)))
	}
	return b
}
