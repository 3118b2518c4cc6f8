// A compiled program: a flat list of steps that one call runs.
#ifndef DESTSEG_PROGRAM_H
#define DESTSEG_PROGRAM_H

#include "kernels.h"
#include "shim.h"

typedef struct ds_program ds_program;

ds_program *ds_program_new(int threads);
void ds_program_free(ds_program *p);

// Prepares the calling thread, which must be the one that creates primitives
// and runs programs. It returns the number of threads to be had, at most as
// many as wanted.
int ds_thread_init(int threads);

// Append a step. A step owns neither primitive nor memory, but for a copy of
// the places of packed weights, which becomes its third operand if there are
// any. Zero is success.
int ds_append_primitive(ds_program *p, dnn_primitive *primitive);
int ds_append_kernel(ds_program *p, int kernel, const ds_args *a, const long *places, int count);

// A ds_part is a kernel that does its share of a chunk of tiles: its first three extents
// are the first one, how many there are, and where tiles end.
typedef struct {
    int kernel; // DS_KERNELS for none
    ds_args args;
} ds_part;

// Appends a step that takes tiles through a product: for each chunk of them the parts
// before it, the product, and the part after it. Chunks begin anew in each group of tiles.
int ds_append_product(ds_program *p, dnn_primitive *product, const ds_part before[2], const ds_part *after, long tiles, long group, long chunk);

// Runs the steps from first up to but not including end, in order. Where
// seconds is not NULL it has room for one value for each of them, to which the
// time of the step is added.
int ds_run(ds_program *p, int first, int end, dnn_context *c, double *seconds);

// Memory for tensors, zeroed, in huge pages where the system has them.
void *ds_memory_new(size_t bytes);
void ds_memory_free(void *memory, size_t bytes);

#endif
