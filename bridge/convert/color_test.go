package convert

import (
	"strings"
	"testing"
)

func TestPresetColor(t *testing.T) {
	for in, want := range map[string]string{"preset0": "#e7a1a2", "Preset7": "#9db7e8", "preset24": "#93446b", "preset25": "", "preset-1": "", "preset07": "", "preset": "", "none": "", "": "", "7": ""} {
		if got := PresetColor(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCSSColor(t *testing.T) {
	for in, want := range map[string]string{"#ff0000": "red #FF0000", "ff0000": "red #FF0000", "#FF0000FF": "red #FF0000", "#fe0101": "red #FE0101",
		"#000000": "black #000000", "": "", "#ff": "", "#gggggg": "", "red": ""} {
		name, hex, _ := CSSColor(in)
		if got := strings.TrimSpace(name + " " + hex); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
