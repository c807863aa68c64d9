//go:build interop

package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// shells complete a line as the real shells do, with the script that the program prints, and print the candidates.
var shells = map[string]string{
	"bash": `
source <(outbridge completion bash)
read -ra COMP_WORDS <<<"$1"
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
complete -p outbridge >&2 || exit 1
_outbridge outbridge "${COMP_WORDS[COMP_CWORD]}"
printf '%s\n' "${COMPREPLY[@]}"`,
	"fish": `
outbridge completion fish | source
complete -C $argv[1]`,
	// The part of zsh's completion system that an interactive shell calls the function with.
	"zsh": `
compdef() { print -u2 "$@"; }
_describe() { print -rl -- "${(P@)2}"; }
_files() { print -rl -- "${words[CURRENT]}"*; }
source <(outbridge completion zsh)
words=("${(@s: :)1}")
CURRENT=$#words
_outbridge`,
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	dir := bareConfig(t, "[[account]]\nname = \"alice\"\n[[account]]\nname = \"bob\"\n")
	writeAt(t, dir, "other.toml", "[[account]]\nname = \"carol\"\n")
	for shell, script := range shells {
		complete := func(line string) string {
			t.Helper()
			args := []string{"-c", script, line}
			switch shell {
			case "bash":
				args = []string{"--norc", "-c", script, "bash", line}
			case "zsh":
				args = []string{"-f", "-c", script, "zsh", line}
			}
			ctx, cancel := context.WithDeadline(t.Context(), patience(t))
			defer cancel()
			cmd := exec.CommandContext(ctx, shell, args...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "TERM=dumb")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %q: %v\n%s", shell, line, err, out)
			}
			return string(out)
		}
		for _, c := range []struct {
			line       string
			want, none []string
		}{
			{"outbridge ", []string{"serve", "login", "doctor", "completion"}, []string{"Print completions"}},
			{"outbridge pass", []string{"password"}, []string{"serve"}},
			{"outbridge password ", []string{"add", "list", "revoke"}, []string{"rotate"}},
			{"outbridge login ", []string{"alice", "bob"}, []string{"carol"}},
			{"outbridge login --config other.toml ", []string{"carol"}, []string{"alice"}},
			{"outbridge feed add alice --detail ", []string{"full", "limited", "busy"}, []string{"alice"}},
			{"outbridge status --", []string{"--json", "--losses", "--config"}, []string{"--detail"}},
			{"outbridge completion ", []string{"bash", "zsh", "fish"}, nil},
			{"outbridge serve --config ", []string{"outbridge.toml", "other.toml"}, nil},
			{"outbridge restore oth", []string{"other.toml"}, []string{"outbridge.toml"}},
		} {
			got := complete(c.line)
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: %q: %s is not offered:\n%s", shell, c.line, w, got)
				}
			}
			for _, w := range c.none {
				if strings.Contains(got, w) {
					t.Errorf("%s: %q: %s is offered:\n%s", shell, c.line, w, got)
				}
			}
		}
	}
}

// TestCompletionZshInteractive presses Tab in an interactive zsh.
func TestCompletionZshInteractive(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), patience(t))
	defer cancel()
	cmd := exec.CommandContext(ctx, "zsh", "-f", "-c", `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -Uz compinit; compinit -u -D; source <(outbridge completion zsh); print READ""Y'
zpty -r -m shell line '*READY*' || exit 1
zpty -w shell $'outbridge vers\t && print EN""D'
zpty -r -m shell line '*END*' || exit 1
print -r -- "$line"`)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "TERM=dumb")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), runtime.Version()) {
		t.Errorf("outbridge vers, Tab: %v\n%s", err, out)
	}
}
