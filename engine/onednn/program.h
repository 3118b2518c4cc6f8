// A compiled program: a flat list of steps that one call runs.
#ifndef DESTSEG_PROGRAM_H
#define DESTSEG_PROGRAM_H

#include "kernels.h"
#include "shim.h"

typedef struct ds_program ds_program;

ds_program *ds_program_new(int threads);
void ds_program_free(ds_program *p);

// Prepares the calling thread, which must be the one that creates primitives
// and runs programs.
void ds_thread_init(int threads);

// Append a step. A step owns neither primitive nor memory. Zero is success.
int ds_append_primitive(ds_program *p, dnn_primitive *primitive);
int ds_append_kernel(ds_program *p, int kernel, const ds_args *a);

// Runs the steps from first up to but not including end, in order. Where
// seconds is not NULL it has room for one value for each of them, to which the
// time of the step is added.
int ds_run(ds_program *p, int first, int end, dnn_context *c, double *seconds);

// Memory for tensors, zeroed, in huge pages where the system has them.
void *ds_memory_new(size_t bytes);
void ds_memory_free(void *memory, size_t bytes);

#endif
