package detectortest

import (
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// A Gate is an engine whose programs wait before each run until they may go, for tests
// of what happens meanwhile.
type Gate struct {
	engine.Engine
	Entered chan struct{} // has a value for each run that came to the gate, up to 1,000
	open    chan struct{}
}

// NewGate returns a closed gate before an engine.
func NewGate(e engine.Engine) *Gate {
	return &Gate{e, make(chan struct{}, 1000), make(chan struct{})}
}

// Open lets all runs go, those to come too.
func (g *Gate) Open() { close(g.open) }

// Compile implements engine.Engine.
func (g *Gate) Compile(net *graph.Graph, o engine.Options) (engine.Program, error) {
	p, err := g.Engine.Compile(net, o)
	if err != nil {
		return nil, err
	}
	return &gated{p, g}, nil
}

type gated struct {
	engine.Program
	gate *Gate
}

func (p *gated) Run() error {
	p.gate.Entered <- struct{}{}
	<-p.gate.open
	return p.Program.Run()
}
