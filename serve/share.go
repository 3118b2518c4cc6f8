package serve

import "context"

// A share is what the answer to one request takes of the memory for answers.
type share struct{ bytes int64 }

type shareKey struct{}

// sharing gives a request a share, which ends with release, once the answer was sent.
func (s *Service) sharing(ctx context.Context) (_ context.Context, release func()) {
	share := new(share)
	return context.WithValue(ctx, shareKey{}, share), func() { s.answers.Release(share.bytes) }
}

// room waits until the answer to a request may take so many bytes more. It is called once a
// request, since those that hold a part and wait for the rest would wait for each other.
// Only for requests is anything made that takes room. Errors are causes of the context's end.
func (s *Service) room(ctx context.Context, bytes int64) error {
	share, ok := ctx.Value(shareKey{}).(*share)
	if !ok || bytes == 0 {
		return nil
	}
	bytes = min(bytes, s.limits.Answers) // one that takes more is alone
	if s.answers.Acquire(ctx, bytes) != nil {
		return context.Cause(ctx)
	}
	share.bytes += bytes
	return nil
}
