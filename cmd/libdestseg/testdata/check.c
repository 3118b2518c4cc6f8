/*
 * Tests libdestseg from outside: check DETECTOR PICTURE PIXEL_THRESHOLD MAPS
 *
 * It misuses every function, calls them from many threads at once, and prints what the
 * detector says about pictures that the Go test inspects too; maps and masks
 * go to the file MAPS. Any other answer than the expected one ends it with status 1.
 */
#include <destseg.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "check.c:%d: not so: %s\n", __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

/* The call fails in that way, with a reason; and so it does for those who ask for none. */
#define FAILS(want, call, arguments) \
	do { \
		destseg_error error = {-1, "?"}; \
		int32_t status = call(arguments, &error); \
		if (status != (want) || error.status != (want) || error.message[0] == 0 || strcmp(error.message, "?") == 0) { \
			fprintf(stderr, "check.c:%d: status %d, in the error %d: %s\n", __LINE__, (int)status, (int)error.status, error.message); \
			exit(1); \
		} \
		EXPECT(call(arguments, NULL) == (want)); \
	} while (0)
#define A(...) __VA_ARGS__

#define WORKS(call) \
	do { \
		destseg_error error = {-1, "?"}; \
		destseg_error *e = &error; \
		if ((call) != DESTSEG_OK || error.status != DESTSEG_OK || error.message[0] != 0) { \
			fprintf(stderr, "check.c:%d: %s\n", __LINE__, error.message); \
			exit(1); \
		} \
	} while (0)

enum { WIDTH = 61, HEIGHT = 47, PIXELS = WIDTH * HEIGHT };

static uint8_t rgb[3 * PIXELS];

static uint8_t drawn(uint32_t i) { return (uint8_t)(i * UINT32_C(2654435761) >> 24); }

static void *room(size_t size) {
	void *p = malloc(size);
	EXPECT(p != NULL);
	return p;
}

static uint8_t *contents(const char *path, size_t *size) {
	FILE *f = fopen(path, "rb");
	long n;
	uint8_t *bytes;
	EXPECT(f != NULL && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0);
	rewind(f);
	bytes = room((size_t)n);
	EXPECT(fread(bytes, 1, (size_t)n, f) == (size_t)n);
	fclose(f);
	*size = (size_t)n;
	return bytes;
}

static void tell(const char *name, destseg_result result, FILE *maps) {
	destseg_summary s;
	size_t count, i;
	float *values;
	uint8_t *mask;
	WORKS(destseg_result_summary(result, &s, e));
	printf("%s %.17g %.17g %.17g %d %d %d %d %d %.9g\n", name, s.score, s.dest_score, s.threshold, (int)s.verdict,
		(int)s.width, (int)s.height, (int)s.peak_x, (int)s.peak_y, (double)s.peak_value);
	EXPECT(s.milliseconds > 0);
	WORKS(destseg_result_region_count(result, &count, e));
	for (i = 0; i < count; i++) {
		destseg_region r;
		int32_t k;
		WORKS(destseg_result_region(result, i, &r, e));
		printf("region %.17g %lld %d %d %d %d %d %d %.9g\n", r.mean, (long long)r.area, (int)r.x, (int)r.y, (int)r.width,
			(int)r.height, (int)r.peak_x, (int)r.peak_y, (double)r.peak_value);
		for (k = 0; k < r.rings; k++) {
			size_t n, j;
			double *points;
			WORKS(destseg_result_ring(result, i, (size_t)k, NULL, 0, &n, e));
			points = room(2 * n * sizeof *points);
			FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_ring, A(result, i, (size_t)k, points, n - 1, NULL));
			WORKS(destseg_result_ring(result, i, (size_t)k, points, n, NULL, e));
			printf("ring");
			for (j = 0; j < n; j++)
				printf(" %g,%g", points[2 * j], points[2 * j + 1]);
			printf("\n");
			free(points);
		}
		FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_ring, A(result, i, (size_t)r.rings, NULL, 0, NULL));
	}
	values = room((size_t)(s.width * s.height) * sizeof *values);
	WORKS(destseg_result_map(result, DESTSEG_ANOMALY, s.width, s.height, values, (size_t)(s.width * s.height), e));
	EXPECT(fwrite(values, sizeof *values, (size_t)(s.width * s.height), maps) == (size_t)(s.width * s.height));
	WORKS(destseg_result_map(result, DESTSEG_DEST, 31, 17, values, 31 * 17, e));
	EXPECT(fwrite(values, sizeof *values, 31 * 17, maps) == 31 * 17);
	mask = room((size_t)(s.width * s.height));
	WORKS(destseg_result_mask(result, mask, (size_t)(s.width * s.height), e));
	EXPECT(fwrite(mask, 1, (size_t)(s.width * s.height), maps) == (size_t)(s.width * s.height));
	free(values);
	free(mask);
}

/* The same picture in every format, and in a file. */
static void inspect(destseg_detector detector, const char *picture, FILE *maps) {
	enum { STRIDE = 4 * WIDTH + 13 };
	static uint8_t bgr[sizeof rgb], rgba[HEIGHT * STRIDE], gray[PIXELS];
	destseg_result result;
	uint8_t *file;
	size_t size;
	int i;
	for (i = 0; i < PIXELS; i++) {
		uint8_t *to = &rgba[i / WIDTH * STRIDE + i % WIDTH * 4];
		memcpy(to, &rgb[3 * i], 3);
		to[3] = (uint8_t)i;
		bgr[3 * i] = rgb[3 * i + 2];
		bgr[3 * i + 1] = rgb[3 * i + 1];
		bgr[3 * i + 2] = rgb[3 * i];
		gray[i] = drawn((uint32_t)i);
	}
	WORKS(destseg_inspect(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result, e));
	tell("rgb", result, maps);
	WORKS(destseg_result_free(result, e));
	WORKS(destseg_inspect(detector, bgr, sizeof bgr, WIDTH, HEIGHT, 3 * WIDTH, DESTSEG_BGR8, &result, e));
	tell("bgr", result, maps);
	WORKS(destseg_result_free(result, e));
	/* The last row needs no gap after it. */
	WORKS(destseg_inspect(detector, rgba, sizeof rgba - 13, WIDTH, HEIGHT, STRIDE, DESTSEG_RGBA8, &result, e));
	tell("rgba", result, maps);
	WORKS(destseg_result_free(result, e));
	WORKS(destseg_inspect(detector, gray, sizeof gray, WIDTH, HEIGHT, 0, DESTSEG_GRAY8, &result, e));
	tell("gray", result, maps);
	WORKS(destseg_result_free(result, e));
	file = contents(picture, &size);
	WORKS(destseg_inspect_encoded(detector, file, size, &result, e));
	tell("file", result, maps);
	WORKS(destseg_result_free(result, e));
	FAILS(DESTSEG_BAD_PICTURE, destseg_inspect_encoded, A(detector, file, size / 2, &result));
	FAILS(DESTSEG_BAD_PICTURE, destseg_inspect_encoded, A(detector, rgb, sizeof rgb, &result));
	FAILS(DESTSEG_BAD_PICTURE, destseg_inspect_encoded, A(detector, file, 0, &result));
	free(file);
}

static void misuse_open(const char *path, const char *picture) {
	destseg_detector detector = 7;
	destseg_options options = DESTSEG_OPTIONS_INIT;
	destseg_error error;
	char *longest = room(9001);
	int i;
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, NULL, NULL));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(NULL, NULL, &detector));
	EXPECT(detector == 0);
	FAILS(DESTSEG_BAD_FILE, destseg_open, A("nowhere/none.safetensors", NULL, &detector));
	FAILS(DESTSEG_BAD_FILE, destseg_open, A("", NULL, &detector));
	FAILS(DESTSEG_BAD_FILE, destseg_open, A(".", NULL, &detector));
	FAILS(DESTSEG_BAD_DETECTOR, destseg_open, A(picture, NULL, &detector));
	options.precision = "fp99";
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.precision = "int8"; /* for which it is not quantized */
	FAILS(DESTSEG_UNSUPPORTED, destseg_open, A(path, &options, &detector));
	options.precision = NULL;
	options.engine = "steam";
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.engine = NULL;
	options.threads = -1;
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.threads = INT32_MAX;
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.threads = 0;
	options.use_image_threshold = 1;
	options.image_threshold = 1.5;
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.image_threshold = strtod("nan", NULL);
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.use_image_threshold = 0;
	options.struct_size = 0;
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));
	options.struct_size = sizeof options + 8;
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_open, A(path, &options, &detector));

	/* A reason that does not fit is cut between letters. */
	for (i = 0; i < 9000; i += 2)
		memcpy(longest + i, "\xc3\xa4", 2);
	longest[9000] = 0;
	memset(&error, 0xff, sizeof error);
	EXPECT(destseg_open(longest, NULL, &detector, &error) == DESTSEG_BAD_FILE);
	i = (int)strlen(error.message);
	EXPECT(i <= 1019 && i >= 1018 && (unsigned char)error.message[i - 1] == 0xa4);
	free(longest);
}

static void misuse(destseg_detector detector) {
	destseg_result result = 7, stale;
	destseg_summary summary;
	destseg_region region;
	size_t n;
	float value[16];
	uint8_t mask[PIXELS];
	char json[8];

	FAILS(DESTSEG_BAD_HANDLE, destseg_info, A(0, json, sizeof json, &n));
	FAILS(DESTSEG_BAD_HANDLE, destseg_info, A(UINTPTR_MAX, json, sizeof json, &n));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_info, A(detector, NULL, 10, &n));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_info, A(detector, json, sizeof json, NULL));
	FAILS(DESTSEG_BAD_HANDLE, destseg_close, A(UINTPTR_MAX));
	WORKS(destseg_close(0, e));

	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, NULL));
	FAILS(DESTSEG_BAD_HANDLE, destseg_inspect, A(0, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result));
	EXPECT(result == 0);
	FAILS(DESTSEG_BAD_HANDLE, destseg_inspect, A(detector + 12345, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, NULL, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb - 1, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, 0, HEIGHT, 0, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, WIDTH, -1, 0, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, SIZE_MAX, INT32_MAX, INT32_MAX, 0, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 3 * WIDTH - 1, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, WIDTH, HEIGHT, SIZE_MAX, DESTSEG_RGB8, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 0, 0, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect, A(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 0, 99, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect_encoded, A(detector, NULL, 9, &result));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect_encoded, A(detector, rgb, 9, NULL));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_inspect_encoded, A(detector, rgb, SIZE_MAX, &result));

	WORKS(destseg_inspect(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result, e));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_summary, A(result, NULL));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_map, A(result, DESTSEG_ANOMALY, 4, 4, NULL, 16));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_map, A(result, DESTSEG_ANOMALY, 4, 4, value, 15));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_map, A(result, DESTSEG_ANOMALY, 0, 4, value, 16));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_map, A(result, DESTSEG_ANOMALY, -4, -4, value, 16));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_map, A(result, DESTSEG_ANOMALY, INT32_MAX, INT32_MAX, value, SIZE_MAX));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_map, A(result, 2, 4, 4, value, 16));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_mask, A(result, NULL, PIXELS));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_mask, A(result, mask, PIXELS - 1));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_region_count, A(result, NULL));
	WORKS(destseg_result_region_count(result, &n, e));
	EXPECT(n > 0);
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_region, A(result, 0, NULL));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_region, A(result, n, &region));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_region, A(result, SIZE_MAX, &region));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_ring, A(result, n, 0, NULL, 0, NULL));
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_result_ring, A(result, 0, 0, NULL, 1000000, NULL));

	/* A handle of the other kind, one used up, and the next one, which is another. */
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_summary, A(detector, &summary));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_free, A(detector));
	FAILS(DESTSEG_BAD_HANDLE, destseg_close, A(result));
	FAILS(DESTSEG_BAD_HANDLE, destseg_info, A(result, NULL, 0, &n));
	stale = result;
	WORKS(destseg_result_free(result, e));
	WORKS(destseg_result_free(0, e));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_free, A(stale));
	WORKS(destseg_inspect(detector, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result, e));
	EXPECT(result != stale);
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_summary, A(stale, &summary));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_map, A(stale, DESTSEG_ANOMALY, 4, 4, value, 16));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_mask, A(stale, mask, PIXELS));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_region_count, A(stale, &n));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_region, A(stale, 0, &region));
	FAILS(DESTSEG_BAD_HANDLE, destseg_result_ring, A(stale, 0, 0, NULL, 0, &n));
	WORKS(destseg_result_free(result, e));
}

/* Threads share a detector; each keeps its own picture, result and error. */

enum { THREADS = 8, ROUNDS = 6 };

static float wanted[PIXELS];
static destseg_detector shared;

static void *work(void *number) {
	int k, own = *(int *)number;
	float *map = room(sizeof wanted);
	for (k = 0; k < ROUNDS; k++) {
		destseg_result result;
		destseg_error error;
		char text[20];
		WORKS(destseg_inspect(shared, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result, e));
		WORKS(destseg_result_map(result, DESTSEG_ANOMALY, WIDTH, HEIGHT, map, PIXELS, e));
		EXPECT(memcmp(map, wanted, sizeof wanted) == 0);
		EXPECT(destseg_inspect(shared, rgb, sizeof rgb, WIDTH, HEIGHT, 0, 1000 + own, &result, &error) == DESTSEG_BAD_ARGUMENT);
		sprintf(text, "format %d;", 1000 + own);
		EXPECT(strstr(error.message, text) != NULL);
		EXPECT(result == 0);
	}
	free(map);
	return NULL;
}

/* Works until the detector is closed and tells how often it could. */
static void *until_closed(void *count) {
	for (;;) {
		destseg_result result;
		int32_t status = destseg_inspect(shared, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result, NULL);
		if (status == DESTSEG_BAD_HANDLE)
			return NULL;
		EXPECT(status == DESTSEG_OK);
		WORKS(destseg_result_free(result, e));
		++*(int *)count;
	}
}

static void *close_shared(void *status) {
	*(int *)status = (int)destseg_close(shared, NULL);
	return NULL;
}

static void threads(const char *path, const destseg_options *options) {
	pthread_t thread[THREADS];
	int number[THREADS];
	destseg_result result;
	int i, closed = 0;
	WORKS(destseg_open(path, options, &shared, e));
	WORKS(destseg_inspect(shared, rgb, sizeof rgb, WIDTH, HEIGHT, 0, DESTSEG_RGB8, &result, e));
	WORKS(destseg_result_map(result, DESTSEG_ANOMALY, WIDTH, HEIGHT, wanted, PIXELS, e));
	for (i = 0; i < THREADS; i++) {
		number[i] = i;
		EXPECT(pthread_create(&thread[i], NULL, work, &number[i]) == 0);
	}
	for (i = 0; i < THREADS; i++)
		EXPECT(pthread_join(thread[i], NULL) == 0);

	/* One half works, the other half closes; one of those succeeds. */
	for (i = 0; i < THREADS / 2; i++) {
		number[i] = 0;
		EXPECT(pthread_create(&thread[i], NULL, until_closed, &number[i]) == 0);
	}
	work(&closed);
	for (; i < THREADS; i++)
		EXPECT(pthread_create(&thread[i], NULL, close_shared, &number[i]) == 0);
	for (i = 0; i < THREADS; i++)
		EXPECT(pthread_join(thread[i], NULL) == 0);
	for (; i > THREADS / 2; i--) {
		EXPECT(number[i - 1] == DESTSEG_OK || number[i - 1] == DESTSEG_BAD_HANDLE);
		closed += number[i - 1] == DESTSEG_OK;
	}
	EXPECT(closed == 1);

	/* A result outlives its detector. */
	WORKS(destseg_result_map(result, DESTSEG_ANOMALY, WIDTH, HEIGHT, wanted, PIXELS, e));
	WORKS(destseg_result_free(result, e));
}

int main(int argc, char **argv) {
	destseg_options options = DESTSEG_OPTIONS_INIT;
	destseg_detector detector;
	FILE *maps;
	char *json;
	size_t n;
	uint32_t i;

	EXPECT(argc == 5);
	EXPECT(destseg_abi_version() == DESTSEG_ABI_VERSION);
	EXPECT(destseg_version() != NULL && destseg_version()[0] != 0);
	for (i = 0; i < sizeof rgb; i++)
		rgb[i] = drawn(i);

	misuse_open(argv[1], argv[2]);
	options.precision = "fp32";
	options.threads = 1;
	options.use_pixel_threshold = 1;
	options.pixel_threshold = strtod(argv[3], NULL);
	WORKS(destseg_open(argv[1], &options, &detector, e));
	WORKS(destseg_info(detector, NULL, 0, &n, e));
	json = room(n + 1);
	FAILS(DESTSEG_BAD_ARGUMENT, destseg_info, A(detector, json, n, NULL));
	WORKS(destseg_info(detector, json, n + 1, NULL, e));
	EXPECT(strlen(json) == n);
	printf("%s\n", json);
	free(json);
	misuse(detector);
	maps = fopen(argv[4], "wb");
	EXPECT(maps != NULL);
	inspect(detector, argv[2], maps);
	EXPECT(fclose(maps) == 0);
	WORKS(destseg_close(detector, e));
	FAILS(DESTSEG_BAD_HANDLE, destseg_close, A(detector));
	threads(argv[1], &options);
	return 0;
}
