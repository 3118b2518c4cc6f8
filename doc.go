// Package destseg finds defects in pictures after seeing only good ones. It
// opens detectors that were trained with the method DeSTSeg (Zhang et al., CVPR
// 2023, arXiv 2211.11317), inspects pictures with them and measures them on test
// sets.
//
// # A picture
//
//	d, err := destseg.Open("bottle.safetensors")
//	if err != nil {
//		return err
//	}
//	defer d.Close()
//	inspection, err := d.Inspect(img) // any image.Image
//	if err != nil {
//		return err
//	}
//	if inspection.Anomalous {
//		heat := inspection.Map(inspection.Width, inspection.Height)
//		…
//	}
//
// A picture of any size and shape becomes 8-bit RGB, is resized to the
// detector's network size, and passes a teacher, a student and a segmentation
// network. Out comes the segmentation map, in [0,1], and a second map by the
// student alone, called DeST; both have a quarter of the network size and are
// resized bilinear to whatever size is asked for. The score of a picture is the
// mean of the 100 largest values of its segmentation map at network size. It is
// a ranking and no probability: the [Threshold] says which score is too high, and
// [Inspection.Regions] where.
//
// A detector may also keep the shape of pictures, or see large ones in tiles: see
// [Preprocessing]. Network scale is the size that a picture has then before the
// networks. An ROI in the record limits everything to a part of the picture.
//
// [Detector.InspectFiles] does the same for many files and reads the next ones
// while one is inspected. A detector is safe for concurrent use; as one run
// keeps all processors busy, runs wait for each other.
//
// # A detector's file
//
// One safetensors file holds everything: the tensors of the three networks in
// float32 under the names of the published state dict, so that Python reads
// them too, and in its metadata, under the key "destseg", a [Record] in JSON:
// recipe, teacher, preprocessing, threshold, regions, measurements. [Open] believes
// nothing of it unchecked and executes nothing in it. [Save] and [Update]
// replace a file whole or not at all. [WithRecord] changes the record for one use.
//
// [Import] makes a detector of a checkpoint of the published model and [SaveStateDict]
// gives one back; package onnx writes ONNX models.
//
// # Thresholds
//
// [Calibrate] chooses them by good pictures that [Holdout] has parted from those to
// train on, or by labelled defects, and says what they promise.
//
// # Measuring
//
// [Evaluate] measures a detector on a data set, such as MVTec AD, and says beside
// every figure how it was measured. The pixel figures follow the published code:
// pictures and masks at network size. [Compare] tells how sure the difference of two
// detectors is.
//
// # Engines
//
// The arithmetic is done by an engine: oneDNN where the build has cgo, in fp32,
// bf16 or, for a detector that was quantized, int8, else portable Go in fp32,
// which is slow. See [NewEngine], [WithEngine], [WithPrecision].
//
// Training is in package train, teachers are in package teacher.
package destseg
