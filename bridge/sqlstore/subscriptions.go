package sqlstore

import (
	"context"
	"fmt"

	"outbridge/bridge"
)

func (s *Store) Subscription(ctx context.Context, id bridge.AccountID) (bridge.Subscription, error) {
	sub := bridge.Subscription{Account: id}
	err := s.read.row(ctx, `SELECT graph_id, state, url, renew, expires, fault FROM subscription WHERE account_id = ?`, id).
		Scan(&sub.GraphID, &sub.State, &sub.URL, unixTime{&sub.Renew}, unixTime{&sub.Expires}, fault{&sub.Fault})
	if err != nil {
		return sub, fmt.Errorf("subscription: %w", notFound(err))
	}
	return sub, nil
}

func (s *Store) SetSubscription(ctx context.Context, sub bridge.Subscription) error {
	if sub.State == nil {
		sub.State = []byte{}
	}
	text, err := faultText(sub.Fault)
	if err != nil {
		return fmt.Errorf("set subscription: %w", err)
	}
	_, err = s.write.exec(ctx, `
		INSERT INTO subscription (account_id, graph_id, state, url, renew, expires, fault) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (account_id) DO UPDATE SET graph_id = excluded.graph_id, state = excluded.state, url = excluded.url, renew = excluded.renew,
			expires = excluded.expires, fault = excluded.fault`,
		sub.Account, sub.GraphID, sub.State, sub.URL, unix(sub.Renew), unix(sub.Expires), text)
	if err != nil {
		return fmt.Errorf("set subscription: %w", err)
	}
	return nil
}

func (s *Store) SubscriptionOf(ctx context.Context, graphID string) (sub bridge.Subscription, account string, err error) {
	sub.GraphID = graphID
	err = s.read.row(ctx, `SELECT s.account_id, s.state, s.url, s.renew, s.expires, s.fault, a.name FROM subscription s JOIN account a ON a.id = s.account_id
		WHERE s.graph_id = ? AND s.graph_id <> ''`, graphID).Scan(&sub.Account, &sub.State, &sub.URL, unixTime{&sub.Renew}, unixTime{&sub.Expires}, fault{&sub.Fault}, &account)
	if err != nil {
		return sub, "", fmt.Errorf("subscription: %w", notFound(err))
	}
	return sub, account, nil
}
