package serve

import "time"

// Limits keep one client from taking what the others need.
type Limits struct {
	Body    int64         // bytes of a request's body
	Bodies  int64         // bytes of all bodies that are received or wait, over HTTP and over gRPC each
	Answers int64         // bytes of all maps and pictures in answers that are made or sent
	Pixels  int64         // of a picture
	Receive time.Duration // for a body to arrive
	Decode  time.Duration // of a picture
	Answer  time.Duration // from taking a place in the queue to the answer
}

// DefaultLimits are wide enough for a picture of an industrial camera.
func DefaultLimits() Limits {
	return Limits{
		Body: 64 << 20, Bodies: 512 << 20, Answers: 1 << 30, Pixels: 64 << 20,
		Receive: 30 * time.Second, Decode: 10 * time.Second, Answer: time.Minute,
	}
}
