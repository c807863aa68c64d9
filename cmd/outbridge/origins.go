package main

import (
	"context"
	"io"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// origins is web.Origins: it explains on the pages what the command explain does in a terminal.
type origins struct {
	store  *sqlstore.Store
	rounds *round.Runner
	policy func(bridge.Account) bridge.Policy
}

var _ web.Origins = origins{}

func (o origins) series(ctx context.Context, object bridge.Object) (convert.Series, error) {
	cal, err := o.store.Calendar(ctx, object.Calendar)
	if err != nil {
		return convert.Series{}, err
	}
	row, err := o.store.AccountByID(ctx, cal.Account)
	if err != nil {
		return convert.Series{}, err
	}
	return o.rounds.SeriesOf(ctx, o.policy(row), object.Calendar, object.Series)
}

func (o origins) Outlook(ctx context.Context, object bridge.Object) (string, error) {
	s, err := o.series(ctx, object)
	return s.Event.WebLink, err
}

func (o origins) Explain(ctx context.Context, w io.Writer, object bridge.Object, redact bool) error {
	s, err := o.series(ctx, object)
	if err != nil {
		return err
	}
	return convert.Explain(w, s, redact)
}
