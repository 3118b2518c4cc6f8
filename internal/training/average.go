package training

import (
	"math"

	"github.com/destseg/destseg/engine"
)

// AverageOf names the moving average of a tensor in the state of a run that keeps
// averages.
func AverageOf(name string) string { return "average/" + name }

// Final returns what a tensor will be when its stage settles: the average, if there
// is one.
func (t Tensors) Final(name string) []float32 {
	if v := t[AverageOf(name)]; v != nil {
		return v
	}
	return t[name]
}

// averageEvery is how many steps lie between two updates of the averages: few
// enough to make no difference to them, many enough to cost nothing.
const averageEvery = 8

// An averager brings the averages up to date.
type averager struct {
	program engine.Program
	state   Tensors
	decay   float64
	names   []string
	value   []float32
	steps   int // of the stage
	before  int // updates in earlier stages since averages began
}

func (r *runner) averager(program engine.Program, number int) *averager {
	s := r.Stages[number]
	a := &averager{program: program, state: r.State, decay: r.Average, steps: s.Steps}
	if a.decay == 0 {
		return a
	}
	for _, u := range s.Graph.Updates {
		if name := u.Variable.Name; r.Kept[name] > 0 {
			a.names = append(a.names, name)
			a.value = make([]float32, max(len(a.value), r.Kept[name]))
		}
	}
	for n := number - 1; n >= 0 && !r.Stages[n].Settle; n-- {
		a.before += updates(r.Stages[n].Steps)
	}
	return a
}

// updates is how many updates of averages a stage of so many steps has.
func updates(steps int) int { return (steps + averageEvery - 1) / averageEvery }

// settle puts the averages in the place of what they average.
func (r *runner) settle() {
	for name := range r.Kept {
		if v := r.State[AverageOf(name)]; v != nil {
			r.State[name] = v
			delete(r.State, AverageOf(name))
		}
	}
}

// after is called after each step of a stage.
func (a *averager) after(step int) error {
	since := step%averageEvery + 1 // steps since the last update
	if len(a.names) == 0 || since != averageEvery && step+1 != a.steps {
		return nil
	}
	keep := float32(a.keep(a.before+step/averageEvery, since))
	for _, name := range a.names {
		value := a.value[:len(a.state[name])]
		if err := a.program.Read(name, value); err != nil {
			return err
		}
		average := a.state[AverageOf(name)]
		if average == nil { // it starts where the run is after a few steps, not at random
			a.state[AverageOf(name)] = append([]float32(nil), value...)
			continue
		}
		for i, v := range value {
			average[i] = keep*average[i] + (1-keep)*v
		}
	}
	return nil
}

// keep is the share of the average that stays at its n-th update, counted from 0, which
// covers some steps. The first ones forget faster than the decay says: by the weights of
// n updates alone, so that a short run does not end near its beginning.
func (a *averager) keep(n, steps int) float64 {
	return min(math.Pow(a.decay, float64(steps)), float64(1+n)/float64(10+n))
}
