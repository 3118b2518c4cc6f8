package golden
import ("testing";"fmt";"github.com/destseg/destseg/engine";"github.com/destseg/destseg/engine/plain";"github.com/destseg/destseg/network")
func TestNoise(t *testing.T) {
	for seed := range 3 {
	name := "segmentation-96x128"
	v := open(t, name)
	g, _ := network.SegmentationStep(v.size, network.Training{Momentum: momentum, WeightDecay: decay, Gradients: true})
	r := compile(t, plain.NewFloat64(), engine.Options{}, g)
	r.drawState(g)
	for _, n := range g.Variables {
		w := r.read(n.Name, n.Shapes[0].Size())
		u := newUniform(fmt.Sprint("noise", seed, n.Name))
		for i := range w { w[i] *= 1 + 6e-8*(2*u.at(i)-1)*1.7 }
		r.program.(wide).Write64(n.Name, w)
	}
	want := v.tensor(t, "losses")
	for step := range 3 {
		p := v.pictures(fmt.Sprintf("%s/%d", name, step))
		r.write(network.Corrupted, p.corrupted)
		r.write(network.Mask, p.mask)
		r.writeScalar(network.RateRes, rateRes)
		r.writeScalar(network.RateHead, rateHead)
		r.run()
		fmt.Println(step, distance(r.read(network.FocalLoss, 1), want[step*3+1:][:1]), distance(r.read(network.L1Loss, 1), want[step*3+2:][:1]))
		if step == 0 {
			a, b := v.compare(t, r, "grad1/", network.GradientOf)
			fmt.Println(a, b)
		}
	}
	a, b := v.compare(t, r, "paramN/", func(s string) string { return s })
	fmt.Println(a, b)
	}
}
