package dataset

// publicTest is the test set of MVTec AD 2 that comes with labels.
const publicTest = "test_public"

func isMVTec2(top folder) bool { return top.has(publicTest) }

// addMVTec2 takes the folders train, validation and test_public, which holds its
// masks. Names: https://www.mvtec.com/company/research/datasets/mvtec-ad-2.
func (s *Set) addMVTec2(top folder) error {
	if top.has("train") {
		if err := s.addTrain(top.join("train"), Good); err != nil {
			return err
		}
	}
	if err := s.addValidation(top); err != nil {
		return err
	}
	test, err := top.optional(publicTest)
	if err != nil {
		return err
	}
	truth, err := test.optional(truthFolder)
	if err != nil {
		return err
	}
	unmasked, err := s.addTest(test, truth, Good, s.readMasks)
	s.warnUnmasked(unmasked)
	s.Protocol = append(s.Protocol, "test pictures: test_public; the private test sets of MVTec AD 2 have no labels")
	return err
}
