/*
 * libdestseg: finds defects in pictures after seeing only good ones, by detectors
 * that the program destseg has trained.
 *
 *     destseg_detector detector;
 *     destseg_result result;
 *     destseg_summary summary;
 *     destseg_error error;
 *     if (destseg_open("bottle.safetensors", NULL, &detector, &error) != DESTSEG_OK)
 *         fail(error.message);
 *     destseg_inspect(detector, pixels, size, width, height, 0, DESTSEG_RGB8, &result, &error);
 *     destseg_result_summary(result, &summary, &error);
 *     if (summary.verdict == DESTSEG_NG)
 *         reject();
 *     destseg_result_free(result, NULL);
 *     destseg_close(detector, NULL);
 *
 * Every function but the two of the version returns a destseg_status and, if the call
 * failed and error is not NULL, tells the reason in *error, which belongs to the caller.
 * There is no last error to be asked for afterwards, so that threads cannot mistake
 * each other's.
 *
 * All functions may be called from any thread at any time, with the same handles too.
 * A handle is a number that is never used twice: one that was closed, freed or
 * made up is answered with DESTSEG_BAD_HANDLE, as is NULL where something is needed
 * with DESTSEG_BAD_ARGUMENT. What is inspected is copied during the call; nothing of
 * the caller's is kept. Texts are UTF-8.
 *
 * The library carries Go's runtime. A process that has called it may start programs, but
 * a child of fork() must not call it without exec(), and it cannot be unloaded.
 */
#ifndef DESTSEG_H
#define DESTSEG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of what this file declares. It grows when something in here changes so
 * that a program has to be compiled anew; additions do not change it. A program that
 * loads the library itself compares it with destseg_abi_version().
 */
#define DESTSEG_ABI_VERSION 1

typedef enum destseg_status {
	DESTSEG_OK = 0,
	DESTSEG_BAD_ARGUMENT = 1, /* the call makes no sense: NULL, a size, an option */
	DESTSEG_BAD_HANDLE = 2,   /* no open detector, no result */
	DESTSEG_BAD_FILE = 3,     /* a file cannot be read */
	DESTSEG_BAD_DETECTOR = 4, /* a file is no detector, is damaged or newer than the library */
	DESTSEG_BAD_PICTURE = 5,  /* a picture cannot be read or inspected */
	DESTSEG_UNSUPPORTED = 6,  /* this build or machine lacks the engine or precision, or the detector int8 */
	DESTSEG_INTERNAL = 7      /* a mistake of the library; please report it */
} destseg_status;

/* Why a call failed. */
typedef struct destseg_error {
	int32_t status;     /* destseg_status */
	char message[1020]; /* a sentence that ends with 0, cut where it does not fit */
} destseg_error;

typedef uintptr_t destseg_detector; /* of destseg_open, until destseg_close; 0: none */
typedef uintptr_t destseg_result;   /* of an inspection, until destseg_result_free; 0: none */

/* The version of the program that the library is part of, such as "v1.2.0". */
const char *destseg_version(void);

/* DESTSEG_ABI_VERSION of the library. */
uint32_t destseg_abi_version(void);

/* How a detector computes and judges. Zeros and NULLs mean what destseg itself does. */
typedef struct destseg_options {
	size_t struct_size;          /* sizeof(destseg_options) */
	const char *engine;          /* "auto", "onednn" or "plain" */
	const char *precision;       /* "auto", "fp32", "bf16", or "int8" for a quantized detector; auto is the fastest of these here */
	double image_threshold;      /* scores above it are NG: from 0 to 1 */
	double pixel_threshold;      /* regions are where the map is above it: from 0 to 1 */
	int32_t use_image_threshold; /* not 0: image_threshold takes the place of the detector's */
	int32_t use_pixel_threshold; /* not 0: pixel_threshold takes the place of the detector's */
	int32_t threads;             /* of an inspection; 0: one for each processor */
	int32_t reserved;            /* 0 */
} destseg_options;

#define DESTSEG_OPTIONS_INIT {sizeof(destseg_options), NULL, NULL, 0, 0, 0, 0, 0, 0}

/*
 * Opens a detector's file, which takes some seconds and some hundred megabytes. options
 * may be NULL. *detector is 0 on failure.
 */
int32_t destseg_open(const char *path, const destseg_options *options, destseg_detector *detector, destseg_error *error);

/*
 * Closes a detector after the inspection under way; those that wait for it fail with
 * DESTSEG_BAD_HANDLE. Its results stay. Closing 0 does nothing.
 */
int32_t destseg_close(destseg_detector detector, destseg_error *error);

/*
 * Tells about a detector in JSON: engine, precision and the record of its file as
 * destseg info --json prints it. *length is the text's length in bytes without the 0 at its
 * end. If capacity is 0, only that is told and json may be NULL; a text that does not
 * fit with its 0 is DESTSEG_BAD_ARGUMENT. length may be NULL.
 */
int32_t destseg_info(destseg_detector detector, char *json, size_t capacity, size_t *length, destseg_error *error);

/* How pixels lie in memory: a byte for each channel, rows from the top. */
typedef enum destseg_format {
	DESTSEG_RGB8 = 1,
	DESTSEG_BGR8 = 2,
	DESTSEG_GRAY8 = 3,
	DESTSEG_RGBA8 = 4 /* alpha is ignored: the colour under transparent pixels is judged */
} destseg_format;

/*
 * Inspects a picture of any size in memory. size is that of pixels in bytes; stride is how
 * many bytes lie between the beginnings of two rows, 0 if no gap is between them. The
 * inspections of one detector wait for each other, as each uses all threads. *result is
 * 0 on failure.
 */
int32_t destseg_inspect(destseg_detector detector, const uint8_t *pixels, size_t size, int32_t width, int32_t height,
	size_t stride, int32_t format, destseg_result *result, destseg_error *error);

/* Inspects a picture by the bytes of its file: PNG, JPEG, BMP, TIFF or WebP. */
int32_t destseg_inspect_encoded(destseg_detector detector, const uint8_t *bytes, size_t size,
	destseg_result *result, destseg_error *error);

/* Frees a result. Freeing 0 does nothing. */
int32_t destseg_result_free(destseg_result result, destseg_error *error);

typedef enum destseg_verdict {
	DESTSEG_NO_VERDICT = 0, /* the detector has no threshold */
	DESTSEG_GOOD = 1,       /* OK: the score is not above the threshold */
	DESTSEG_NG = 2          /* not good */
} destseg_verdict;

/* What a detector says about a picture. */
typedef struct destseg_summary {
	double score;        /* in [0,1], more is more anomalous; it decides alone */
	double dest_score;   /* the same by student and teacher only */
	double threshold;    /* 0 if there is none */
	double milliseconds; /* that the networks took */
	int32_t verdict;     /* destseg_verdict */
	int32_t width;       /* of the picture, in pixels */
	int32_t height;
	int32_t peak_x;      /* where the anomaly map is highest, in pixels of the picture */
	int32_t peak_y;
	float peak_value;
} destseg_summary;

int32_t destseg_result_summary(destseg_result result, destseg_summary *summary, destseg_error *error);

typedef enum destseg_map {
	DESTSEG_ANOMALY = 0, /* the anomaly map, from which score and regions come */
	DESTSEG_DEST = 1     /* that of student and teacher only */
} destseg_map;

/*
 * Writes a map, bilinear at any size: height x width values in [0,1], rows from the top,
 * without gaps. count is how many values there is room for, width * height at least.
 */
int32_t destseg_result_map(destseg_result result, int32_t map, int32_t width, int32_t height,
	float *values, size_t count, destseg_error *error);

/* A connected area of the anomaly map above the pixel threshold, in pixels of the picture. */
typedef struct destseg_region {
	double mean;    /* of the map in it */
	int64_t area;   /* number of pixels */
	int32_t x;      /* the smallest rectangle that holds it: leftmost column, */
	int32_t y;      /* uppermost row, */
	int32_t width;  /* size */
	int32_t height;
	int32_t peak_x; /* where the map is highest */
	int32_t peak_y;
	float peak_value;
	int32_t rings;  /* of its polygon: the border, then its holes */
} destseg_region;

/*
 * Counts the regions. They tell where; the verdict comes from the score, so that a good
 * picture may have regions. Without a threshold there are none.
 */
int32_t destseg_result_region_count(destseg_result result, size_t *count, destseg_error *error);

/* Tells of one region, from 0, the highest first. */
int32_t destseg_result_region(destseg_result result, size_t index, destseg_region *region, destseg_error *error);

/*
 * Writes a ring of a region's polygon, from 0: the points x, y of a line that closes by
 * itself. Pixel (x, y) covers [x,x+1] x [y,y+1]. *count is the number of points. If
 * capacity is 0, only that is told and points may be NULL; else there must be room
 * for capacity points, 2 * capacity numbers, and all points must fit. count may be NULL.
 */
int32_t destseg_result_ring(destseg_result result, size_t index, size_t ring,
	double *points, size_t capacity, size_t *count, destseg_error *error);

/*
 * Writes a mask of the picture's size, 255 in the regions and 0 elsewhere, without gaps.
 * size is how many bytes there is room for, the picture's width * height at least.
 */
int32_t destseg_result_mask(destseg_result result, uint8_t *mask, size_t size, destseg_error *error);

#ifdef __cplusplus
}
#endif

#endif
