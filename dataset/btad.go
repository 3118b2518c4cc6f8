package dataset

// ok is what BTAD calls its folders of good pictures.
const ok = "ok"

func isBTAD(top folder) bool {
	return top.sub("train").has(ok) || top.sub("test").has(ok) || top.sub("test").has("ko")
}

// addBTAD takes the folders train/ok, test/ok, test/ko and ground_truth/ko. The
// extensions of pictures and masks differ from category to category and within one.
func (s *Set) addBTAD(top folder) error { return s.addTrainTest(top, ok, s.readMasks) }
