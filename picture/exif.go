package picture

import "encoding/binary"

// exifOrientation returns the orientation, 1…8, that the EXIF segment of a JPEG
// asks for (EXIF 2.3, tag 0x0112). Absent or broken metadata means 1, upright: a
// picture is not worth losing over it.
func exifOrientation(jpeg []byte) int {
	const startOfScan, app1 = 0xda, 0xe1
	if len(jpeg) < 2 {
		return 1
	}
	for rest := jpeg[2:]; len(rest) >= 4 && rest[0] == 0xff; {
		marker := rest[1]
		if marker == 0xff { // fill byte
			rest = rest[1:]
			continue
		}
		length := int(binary.BigEndian.Uint16(rest[2:])) // counts itself
		if marker == startOfScan || length < 2 || 2+length > len(rest) {
			break
		}
		const header = "Exif\x00\x00"
		body := rest[4 : 2+length]
		if marker == app1 && len(body) >= len(header) && string(body[:len(header)]) == header {
			return tiffOrientation(body[len(header):])
		}
		rest = rest[2+length:]
	}
	return 1
}

// tiffOrientation finds the orientation in the first directory of a TIFF block.
func tiffOrientation(block []byte) int {
	if len(block) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(block[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	offset := int64(order.Uint32(block[4:]))
	if offset+2 > int64(len(block)) {
		return 1
	}
	entries := block[offset+2:]
	const entrySize, tagOrientation, typeShort = 12, 0x0112, 3
	for n := order.Uint16(block[offset:]); n > 0 && len(entries) >= entrySize; n-- {
		if order.Uint16(entries) == tagOrientation {
			v := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) != typeShort || v < 1 || v > 8 {
				return 1
			}
			return v
		}
		entries = entries[entrySize:]
	}
	return 1
}

// orient turns stored pixels of the given channels upright. The orientation says
// where the stored first row and first column belong; from 5 on, rows and columns
// change places.
func orient(width, height int, pix []uint8, channels, orientation int) (int, int, []uint8) {
	if orientation <= 1 || orientation > 8 {
		return width, height, pix
	}
	w, h := width, height
	if orientation >= 5 {
		w, h = h, w
	}
	// Upright pixel (x, y) is stored at start + x·dx + y·dy.
	lastX, lastY := width-1, (height-1)*width
	var start, dx, dy int
	switch orientation {
	case 2: // mirrored
		start, dx, dy = lastX, -1, width
	case 3: // half a turn
		start, dx, dy = lastX+lastY, -1, -width
	case 4: // upside down
		start, dx, dy = lastY, 1, -width
	case 5: // transposed
		start, dx, dy = 0, width, 1
	case 6: // needs a quarter turn clockwise
		start, dx, dy = lastY, -width, 1
	case 7: // transposed over the other diagonal
		start, dx, dy = lastX+lastY, -width, -1
	case 8: // needs a quarter turn anticlockwise
		start, dx, dy = lastX, width, -1
	}
	return w, h, gather(w, h, pix, channels, start, dx, dy)
}

// gather returns a w×h picture whose pixel (x, y) is pixel start + x·dx + y·dy of
// pix.
func gather(w, h int, pix []uint8, channels, start, dx, dy int) []uint8 {
	out := make([]uint8, w*h*channels)
	i := 0
	for y := range h {
		from := (start + y*dy) * channels
		for range w {
			copy(out[i:i+channels], pix[from:from+channels])
			i += channels
			from += dx * channels
		}
	}
	return out
}
