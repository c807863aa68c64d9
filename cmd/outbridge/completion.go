package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script that asks this program for completions, with the hidden command complete.
func (c *completionCmd) Run(e *env) error {
	_, err := fmt.Fprint(e.stdout, completionScripts[c.Shell])
	return err
}

var completionScripts = map[string]string{
	"bash": `# bash completion of outbridge. For all users: outbridge completion bash > /usr/share/bash-completion/completions/outbridge
_outbridge() {
	local line current=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	while IFS= read -r line; do
		if [ "$line" = ":files" ]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
		fi
		COMPREPLY+=("${line%%$'\t'*}")
	done < <(outbridge complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _outbridge outbridge
`,
	"zsh": `#compdef outbridge
# zsh completion of outbridge. For all users: outbridge completion zsh > /usr/share/zsh/vendor-completions/_outbridge
_outbridge() {
	local line
	local -a found
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			_files
			return
		fi
		found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done < <(outbridge complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	_describe outbridge found
}
if [ "$funcstack[1]" = "_outbridge" ]; then
	_outbridge "$@"
elif (( $+functions[compdef] )); then
	compdef _outbridge outbridge
fi
`,
	"fish": `# fish completion of outbridge. For all users: outbridge completion fish > /usr/share/fish/vendor_completions.d/outbridge.fish
function __outbridge_complete
	set -l words (commandline -opc) (commandline -ct)
	set -e words[1]
	for line in (outbridge complete -- $words 2>/dev/null)
		if test "$line" = ":files"
			__fish_complete_path (commandline -ct)
		else
			echo $line
		end
	end
end
complete -c outbridge -f -a '(__outbridge_complete)'
`,
}

type completeCmd struct {
	Words []string `arg:"" optional:"" help:"The words of the command line after the program's name, the last one unfinished."`
}

// Run prints the completions of the last word, one a line: the word and, after a tab, what it is. The line ":files" asks
// for file names.
func (c *completeCmd) Run(e *env, k *kong.Kong) error {
	words := c.Words
	if len(words) == 0 {
		words = []string{""}
	}
	at := completion{node: k.Model.Node}
	for _, w := range words[:len(words)-1] {
		at.pass(w)
	}
	for _, line := range at.candidates(words[len(words)-1]) {
		fmt.Fprintln(e.stdout, line)
	}
	return nil
}

// completion is a partly read command line.
type completion struct {
	node    *kong.Node
	waiting *kong.Flag // whose value comes next
	args    int        // positional arguments so far
	config  string     // the configuration that is named
}

func (c *completion) pass(word string) {
	if c.waiting != nil {
		if c.waiting.Name == "config" {
			c.config = word
		}
		c.waiting = nil
		return
	}
	if strings.HasPrefix(word, "-") {
		name, value, given := strings.Cut(word, "=")
		f := c.flag(name)
		if f != nil && given && f.Name == "config" {
			c.config = value
		}
		if f != nil && !given && !f.IsBool() {
			c.waiting = f
		}
		return
	}
	for _, child := range c.node.Children {
		if child.Name == word {
			c.node, c.args = child, 0
			return
		}
	}
	c.args++
}

func (c *completion) flags() (list []*kong.Flag) {
	for _, group := range c.node.AllFlags(true) {
		list = append(list, group...)
	}
	return list
}

func (c *completion) flag(name string) *kong.Flag {
	for _, f := range c.flags() {
		if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
			return f
		}
	}
	return nil
}

func (c *completion) candidates(word string) []string {
	var list []string
	add := func(candidate, help string) {
		if strings.HasPrefix(candidate, word) {
			list = append(list, candidate+"\t"+help)
		}
	}
	value := func(placeholder string, enum []string, prefix string) []string {
		switch name := strings.ToUpper(strings.Trim(placeholder, "<>")); {
		case len(enum) > 0:
			for _, v := range enum {
				add(prefix+v, "")
			}
		case name == "FILE" || name == "DIR":
			return []string{":files"}
		case name == "USER" || name == "ACCOUNT":
			for _, a := range c.accounts() {
				add(prefix+a, "account")
			}
		}
		return list
	}
	flagValue := func(f *kong.Flag, prefix string) []string {
		// The tag complete is for flags that are optional, which an enum cannot be.
		words := strings.Split(cmp.Or(f.Enum, f.Tag.Get("complete")), ",")
		if words[0] == "" {
			words = nil
		}
		return value(f.FormatPlaceHolder(), words, prefix)
	}
	if c.waiting != nil {
		return flagValue(c.waiting, "")
	}
	if name, _, given := strings.Cut(word, "="); given && strings.HasPrefix(word, "--") {
		if f := c.flag(name); f != nil {
			return flagValue(f, name+"=")
		}
		return nil
	}
	if strings.HasPrefix(word, "-") {
		for _, f := range c.flags() {
			add("--"+f.Name, f.Help)
		}
		slices.Sort(list)
		return list
	}
	for _, child := range c.node.Children {
		if !child.Hidden {
			add(child.Name, child.Help)
		}
	}
	if c.args < len(c.node.Positional) {
		p := c.node.Positional[c.args]
		var enum []string
		if p.Tag.Enum != "" {
			enum = strings.Split(p.Tag.Enum, ",")
		}
		return value(p.Name, enum, "")
	}
	return list
}

// accounts are those of the configuration, if it can be read.
func (c *completion) accounts() (names []string) {
	conf, err := configFlag{Config: c.config}.load()
	if err != nil {
		return nil
	}
	for _, a := range conf.Accounts {
		names = append(names, a.Name)
	}
	return names
}
