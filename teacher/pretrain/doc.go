// Package pretrain trains a ResNet-18 from nothing by classification, for a teacher
// where none can be downloaded: random crops of labelled pictures, softmax
// cross-entropy with smoothed labels, stochastic gradient descent with warm-up and
// a cosine schedule, pictures that grow on the way, and averaged weights.
//
// Several sets of pictures are learned at once. Their classes are told apart by one
// softmax over all of them, and each batch holds a fixed share of every set.
package pretrain
