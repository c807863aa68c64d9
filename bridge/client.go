package bridge

import "context"

type clientKey struct{}

// clientContext is a context with what a client calls itself.
type clientContext struct {
	context.Context
	agent string
}

func (c *clientContext) Value(key any) any {
	if key == (clientKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// WithClient is a context of a request by the program that names itself so (User-Agent). App passwords and feeds that are used
// under it are noted as used by that program.
func WithClient(ctx context.Context, agent string) context.Context {
	return &clientContext{ctx, agent}
}

// ClientOf is what WithClient has set; false where it has not.
func ClientOf(ctx context.Context) (agent string, ok bool) {
	c, ok := ctx.Value(clientKey{}).(*clientContext)
	if !ok {
		return "", false
	}
	return c.agent, true
}
