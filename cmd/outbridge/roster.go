package main

import (
	"fmt"
	"slices"
)

// setAccounts replaces all accounts.
func (p *program) setAccounts(list []accountConfig) {
	index := make(map[string]int, len(list))
	for i, a := range list {
		if _, twice := index[a.Name]; !twice {
			index[a.Name] = i
		}
	}
	p.accounts, p.byName = list, index
}

// putAccount adds an account, or takes the place of the one of its name.
func (p *program) putAccount(a accountConfig) {
	list := slices.Clone(p.accounts)
	if i, ok := p.byName[a.Name]; ok {
		list[i] = a
	} else {
		list = append(list, a)
	}
	p.setAccounts(list)
}

// addAccount adds one of the web pages.
func (p *program) addAccount(a accountConfig) {
	if p.added == nil {
		p.added = map[string]bool{}
	}
	p.added[a.Name] = true
	p.putAccount(a)
}

func (p *program) removeAccount(name string) {
	delete(p.added, name)
	p.setAccounts(slices.DeleteFunc(slices.Clone(p.accounts), func(a accountConfig) bool { return a.Name == name }))
}

func (p *program) account(name string) (accountConfig, error) {
	if i, ok := p.byName[name]; ok {
		return p.accounts[i], nil
	}
	return accountConfig{}, fmt.Errorf("no account %q: %s", name, p.names())
}
