package bridge

import "context"

type clientKey struct{}

// WithClient is a context of a request by the program that names itself so (User-Agent). App passwords and feeds that are used
// under it are noted as used by that program.
func WithClient(ctx context.Context, agent string) context.Context {
	return context.WithValue(ctx, clientKey{}, agent)
}

// ClientOf is what WithClient has set; false where it has not.
func ClientOf(ctx context.Context) (agent string, ok bool) {
	agent, ok = ctx.Value(clientKey{}).(string)
	return agent, ok
}
