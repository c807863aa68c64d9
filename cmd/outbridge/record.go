package main

import (
	"fmt"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

type recordCmd struct {
	limitFlag
	configFlag
	jsonFlag
}

func (cmd *recordCmd) Run(e *env) error {
	if err := cmd.limitFlag.check(); err != nil {
		return err
	}
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	list, err := p.store.Records(e.ctx, 0, cmd.Limit)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSON(e.stdout, slices.Concat([]bridge.Record{}, list))
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.stdout, "Nothing so far.")
		return err
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "WHEN\tWHO\tWHAT\tON\tDETAIL\tFROM")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", localTime(r.At), r.Who, web.ActWords(r.What), r.Whom, r.Detail, r.Network)
	}
	return w.Flush()
}

// record keeps what a command has done. It is done, so that a failure is only logged.
func (p *program) record(e *env, what bridge.Act, whom, detail string) {
	r := bridge.Record{At: time.Now(), What: what, Who: web.AtTerminal, Role: bridge.RoleAdministrator, Whom: whom, Detail: detail}
	if err := p.store.AddRecord(e.ctx, r); err != nil {
		p.log.Error("it was not recorded what was done", "what", what, "whom", whom, "err", err)
	}
}
