/* The kernel's door to Python: the declarations cffi reads, with the headers they need. */
#ifndef TARRAGON_KERNEL_H
#define TARRAGON_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "_ffi.cdef.txt"

#endif
