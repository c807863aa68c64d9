package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxFaults bounds the faults of one event: a list of ten thousand odd values says no more than its first hundred.
const maxFaults = 100

// lenient reads JSON as encoding/json does, but for a value of another type than Graph documents: that value alone is left
// at its zero value, an item of a list is left out, and its path ("attendees[3].emailAddress.name") is among faults. A null
// says "none" where a property is, and is a fault where an item of a list is.
type lenient struct{ faults []string }

func (l *lenient) fault(path string) {
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, path)
	}
}

// readLeniently reads raw into v, a pointer to a struct, and returns the paths of what it could not read, sorted. It fails
// only where raw is not a JSON object.
func readLeniently(raw []byte, v any) ([]string, error) {
	// As a rule nothing is odd, and reading it in one go takes half the time.
	target := reflect.ValueOf(v).Elem()
	if err := json.Unmarshal(raw, v); err == nil && !hasNullItem(raw) && isObject(raw) {
		return nil, nil
	}
	if !isObject(raw) || !json.Valid(raw) {
		return nil, fmt.Errorf("%.20q is no JSON object", raw)
	}
	target.SetZero()
	var l lenient
	if err := l.object(raw, target, ""); err != nil {
		return nil, err
	}
	slices.Sort(l.faults)
	return slices.Compact(l.faults), nil
}

// readItem reads one JSON object leniently, by its own way where it has one.
func readItem(raw []byte, v any) error {
	if own, ok := v.(json.Unmarshaler); ok {
		return own.UnmarshalJSON(raw)
	}
	_, err := readLeniently(raw, v)
	return err
}

func isObject(raw []byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '{'
}

// hasNullItem is whether raw may hold an array with a null in it, which encoding/json takes for a zero value.
func hasNullItem(raw []byte) bool {
	for at := 0; ; {
		i := bytes.Index(raw[at:], []byte("null"))
		if i < 0 {
			return false
		}
		before := bytes.TrimRight(raw[:at+i], " \t\r\n")
		if n := len(before); n > 0 && (before[n-1] == '[' || before[n-1] == ',') {
			return true
		}
		at += i + len("null")
	}
}

// object reads a JSON object into a struct. Names are compared without regard to case, and the last of the same name
// counts, as in encoding/json.
func (l *lenient) object(raw []byte, v reflect.Value, path string) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return err
	}
	fields := fieldsOf(v.Type())
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		key, _ := name.(string)
		f, ok := fields[strings.ToLower(key)]
		if !ok {
			continue
		}
		inner := f.name
		if path != "" {
			inner = path + "." + f.name
		}
		l.value(value, v.Field(f.index), inner)
	}
	return nil
}

// value reads any JSON value into v.
func (l *lenient) value(raw []byte, v reflect.Value, path string) {
	v.SetZero()
	if string(raw) == "null" {
		return
	}
	if _, own := v.Addr().Interface().(json.Unmarshaler); own {
		l.plain(raw, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if inner := v.Type().Elem(); inner.Kind() != reflect.Struct || isObject(raw) {
			before, p := len(l.faults), reflect.New(inner)
			l.value(raw, p.Elem(), path)
			if inner.Kind() == reflect.Struct || len(l.faults) == before {
				v.Set(p)
			}
			return
		}
		l.fault(path)
	case reflect.Struct:
		if !isObject(raw) || l.object(raw, v, path) != nil {
			l.fault(path)
		}
	case reflect.Slice:
		var items []json.RawMessage
		if v.Type().Elem().Kind() == reflect.Uint8 || json.Unmarshal(raw, &items) != nil {
			l.plain(raw, v, path)
			return
		}
		list := reflect.MakeSlice(v.Type(), 0, len(items))
		for i, item := range items {
			at := path + "[" + strconv.Itoa(i) + "]"
			e, before := reflect.New(v.Type().Elem()).Elem(), len(l.faults)
			struc := e.Kind() == reflect.Struct
			if string(item) == "null" || struc && !isObject(item) {
				l.fault(at)
				continue
			}
			l.value(item, e, at)
			if struc || len(l.faults) == before {
				list = reflect.Append(list, e)
			}
		}
		v.Set(list)
	case reflect.Int:
		// A whole number, however it is written.
		var n float64
		if json.Unmarshal(raw, &n) != nil || n != math.Trunc(n) || math.Abs(n) > 1<<52 {
			l.fault(path)
			return
		}
		v.SetInt(int64(n))
	default:
		l.plain(raw, v, path)
	}
}

// plain reads raw as encoding/json does, all or nothing.
func (l *lenient) plain(raw []byte, v reflect.Value, path string) {
	if json.Unmarshal(raw, v.Addr().Interface()) != nil {
		v.SetZero()
		l.fault(path)
	}
}

// field is a property of a struct: its name in JSON and its index.
type field struct {
	name  string
	index int
}

var knownFields sync.Map // reflect.Type → map[string]field, by the name in lower case

func fieldsOf(t reflect.Type) map[string]field {
	if m, ok := knownFields.Load(t); ok {
		return m.(map[string]field)
	}
	m := make(map[string]field)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "-" || !t.Field(i).IsExported() {
			continue
		}
		if name == "" {
			name = t.Field(i).Name
		}
		m[strings.ToLower(name)] = field{name, i}
	}
	knownFields.Store(t, m)
	return m
}
