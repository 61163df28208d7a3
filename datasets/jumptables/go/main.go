// Switches that Go 1.19 and later turn into jump tables: integers, strings by length, bytes, nested and looping ones.
package main

import "os"

var state [64]uint32

//go:noinline
func mix(a, b uint32) uint32 { return (a^b)*2654435761 + a>>7 }

//go:noinline
func dense(x int, v uint32) uint32 {
	switch x {
	case 0:
		v = mix(v, 1)
	case 1:
		v += state[3]
	case 2:
		state[4] = v
	case 3, 4:
		v ^= 77
	case 5:
		v = mix(v, state[5])
		fallthrough
	case 6:
		v *= 3
	case 7:
		v = mix(v, 9) + state[1]
	case 8:
		v -= 4
	case 9:
		v = v<<3 | v>>29
	case 11:
		v = mix(1, v)
	default:
		v++
	}
	return v
}

//go:noinline
func letters(s string) uint32 {
	var v uint32 = 1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case 'a':
			v = mix(v, 1)
		case 'b':
			v += 5
		case 'c':
			v ^= state[7]
		case 'd':
			v *= 7
		case 'e', 'f', 'g':
			v = mix(v, v)
		case 'h':
			state[8] += v
		case 'i':
			v -= state[8]
		case 'j':
			return v
		case 'k':
			v = v>>1 | v<<31
		}
	}
	return v
}

//go:noinline
func words(s string) int {
	switch s {
	case "a":
		return 1
	case "bc":
		return 2
	case "def":
		return 3
	case "ghij":
		return 4
	case "klmno":
		return 5
	case "pqrstu":
		return 6
	case "vwxyzab":
		return 7
	case "cdefghij":
		return 8
	case "klmnopqrs":
		return 9
	}
	return 0
}

//go:noinline
func nested(x, y uint64, v uint32) uint32 {
	for turn := 0; turn < 5; turn++ {
		switch x - 100 {
		case 0:
			v = mix(v, 3)
		case 1:
			switch y {
			case 0:
				v++
			case 1:
				v = mix(v, 2)
			case 2:
				v ^= 9
			case 3:
				v += state[2]
			case 4:
				state[2] = v
			case 5:
				v *= 5
			case 6:
				v = mix(v, state[2])
			case 7:
				v -= 100
			}
		case 2:
			v += 9
		case 3:
			v = mix(v, 77)
		case 4:
			v ^= state[9]
		case 5:
			state[9] = v
		case 6:
			v = mix(state[9], v)
		case 7:
			v *= 11
		case 8:
			v -= 8
		}
		x = 100 + uint64(v%11)
	}
	return v
}

func put(name string, v uint32) {
	line := []byte(name + " ")
	for k := 28; k >= 0; k -= 4 {
		line = append(line, "0123456789abcdef"[v>>uint(k)&15])
	}
	os.Stdout.Write(append(line, '\n'))
}

func main() {
	var v uint32 = 1
	for i := -2; i < 15; i++ {
		v = dense(i, v)
	}
	put("dense", v)
	put("letters", letters("abcdefghikhgfedcbazzj"))
	for _, s := range []string{"", "a", "bc", "xx", "def", "ghij", "klmno", "pqrstu", "vwxyzab", "cdefghij", "klmnopqrs"} {
		v = mix(v, uint32(words(s)))
	}
	put("words", v)
	for x := uint64(98); x < 112; x++ {
		for y := uint64(0); y < 9; y++ {
			v = nested(x, y, v)
		}
	}
	put("nested", v)
	done := make(chan uint32)
	for g := uint32(0); g < 4; g++ {
		go func(g uint32) {
			var w = g
			for i := 0; i < 20000; i++ {
				w = dense(i&15, w)
			}
			done <- w
		}(g)
	}
	for g := 0; g < 4; g++ {
		v += <-done
	}
	put("goroutines", v)
}
