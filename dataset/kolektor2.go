package dataset

func isKolektor2(top folder) bool {
	return top.sub("train").pairs("_gt").found() || top.sub("test").pairs("_gt").found()
}

// addKolektor2 takes the folders train, of which it leaves out the defective
// pictures, and test.
func (s *Set) addKolektor2(top folder) error {
	train, err := top.optional("train")
	if err != nil {
		return err
	}
	test, err := top.optional("test")
	if err != nil {
		return err
	}
	if s.Train, _, err = s.tellApart(train.pairs("_gt")); err != nil {
		return err
	}
	good, defective, err := s.tellApart(test.pairs("_gt"))
	s.Test = merge(good, defective)
	s.Protocol = append(s.Protocol, "split: the folders train, without its defective pictures, and test", labelProtocol)
	return err
}
