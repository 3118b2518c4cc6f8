// What the Go files see of C: the public header, with which the compiler compares
// the exported functions, and names for types that Go has no words for.
#include "destseg.h"

typedef const char const_char;
typedef const uint8_t const_byte;
typedef const destseg_options const_options;
