#include "program.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

typedef struct {
    dnn_primitive *primitive; // or, where NULL, a kernel
    int kernel;
    ds_args args;
    long *places; // of packed weights, or NULL
    ds_part parts[3]; // around the primitive, if there are tiles
    long tiles, group, chunk;
} step;

struct ds_program {
    step *steps;
    int count, room, threads;
};

ds_program *ds_program_new(int threads) {
    ds_program *p = calloc(1, sizeof *p);
    if (p) p->threads = threads;
    return p;
}

void ds_program_free(ds_program *p) {
    if (!p) return;
    for (int i = 0; i < p->count; i++) free(p->steps[i].places);
    free(p->steps);
    free(p);
}

int ds_thread_init(int threads) {
    if (threads > omp_get_thread_limit()) threads = omp_get_thread_limit();
    omp_set_dynamic(0);
    omp_set_num_threads(threads);
    return threads;
}

static step *append(ds_program *p) {
    if (p->count == p->room) {
        int room = p->room ? 2 * p->room : 64;
        step *s = realloc(p->steps, room * sizeof *s);
        if (!s) return NULL;
        p->steps = s, p->room = room;
    }
    return &p->steps[p->count++];
}

int ds_append_primitive(ds_program *p, dnn_primitive *primitive) {
    step *s = append(p);
    if (!s) return dnnl_out_of_memory;
    *s = (step){.primitive = primitive};
    return 0;
}

int ds_append_kernel(ds_program *p, int kernel, const ds_args *a, const long *places, int count) {
    step *s = append(p);
    if (!s) return dnnl_out_of_memory;
    *s = (step){.kernel = kernel, .args = *a};
    s->args.threads = p->threads;
    if (!count) return 0;
    s->places = malloc(count * sizeof *places);
    if (!s->places) return dnnl_out_of_memory;
    memcpy(s->places, places, count * sizeof *places);
    s->args.p[2] = s->places;
    return 0;
}

int ds_append_product(ds_program *p, dnn_primitive *product, const ds_part before[2], const ds_part *after, long tiles, long group, long chunk) {
    step *s = append(p);
    if (!s) return dnnl_out_of_memory;
    *s = (step){.primitive = product, .parts = {before[0], before[1], *after}, .tiles = tiles, .group = group, .chunk = chunk};
    for (int i = 0; i < 3; i++) s->parts[i].args.threads = p->threads;
    return 0;
}

static void run_part(ds_part *part, long first, long chunk, long end) {
    if (part->kernel == DS_KERNELS) return;
    part->args.n[0] = first, part->args.n[1] = chunk, part->args.n[2] = end;
    ds_kernel_run(part->kernel, &part->args);
}

static int run_product(step *s, dnn_context *c) {
    for (long group = 0; group < s->tiles; group += s->group) {
        long end = group + s->group;
        for (long first = group; first < end; first += s->chunk) {
            run_part(&s->parts[0], first, s->chunk, end);
            run_part(&s->parts[1], first, s->chunk, end);
            int status = dnn_execute(c, s->primitive);
            if (status) return status;
            run_part(&s->parts[2], first, s->chunk, end);
        }
    }
    return 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int ds_run(ds_program *p, int first, int end, dnn_context *c, double *seconds) {
    for (int i = first; i < end; i++) {
        double start = seconds ? now() : 0;
        step *s = &p->steps[i];
        if (s->tiles) {
            int status = run_product(s, c);
            if (status) return status;
        } else if (s->primitive) {
            int status = dnn_execute(c, s->primitive);
            if (status) return status;
        } else {
            ds_kernel_run(s->kernel, &s->args);
        }
        if (seconds) seconds[i - first] += now() - start;
    }
    return 0;
}

void *ds_memory_new(size_t bytes) {
    void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(m, bytes, MADV_HUGEPAGE);
#endif
    return m;
}

void ds_memory_free(void *memory, size_t bytes) {
    if (memory) munmap(memory, bytes);
}
