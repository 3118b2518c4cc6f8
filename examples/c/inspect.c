/*
 * Judges pictures with a detector: inspect DETECTOR PICTURE...
 *
 *     cc -o inspect inspect.c $(pkg-config --cflags --libs destseg)
 */
#include <destseg.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns the bytes of a file, to be freed, or NULL. */
static unsigned char *read_file(const char *path, size_t *size) {
	unsigned char *bytes = NULL;
	long length;
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0) {
		rewind(file);
		*size = (size_t)length;
		bytes = malloc(*size + 1);
		if (bytes != NULL && fread(bytes, 1, *size, file) != *size) {
			free(bytes);
			bytes = NULL;
		}
	}
	fclose(file);
	return bytes;
}

static int32_t print_regions(destseg_result result, destseg_error *error) {
	size_t count, i;
	int32_t status = destseg_result_region_count(result, &count, error);
	for (i = 0; status == DESTSEG_OK && i < count; i++) {
		destseg_region r;
		status = destseg_result_region(result, i, &r, error);
		if (status == DESTSEG_OK)
			printf("  %lld pixels at (%d, %d), %dx%d, highest %.4f\n", (long long)r.area, (int)r.x, (int)r.y,
				(int)r.width, (int)r.height, r.peak_value);
	}
	return status;
}

static int32_t inspect(destseg_detector detector, const char *path, destseg_error *error) {
	static const char *const verdicts[] = {"no verdict", "OK", "NG"};
	destseg_result result;
	destseg_summary summary;
	size_t size;
	int32_t status;
	unsigned char *bytes = read_file(path, &size);
	if (bytes == NULL) {
		snprintf(error->message, sizeof error->message, "cannot be read");
		return error->status = DESTSEG_BAD_FILE;
	}
	status = destseg_inspect_encoded(detector, bytes, size, &result, error);
	free(bytes);
	if (status == DESTSEG_OK)
		status = destseg_result_summary(result, &summary, error);
	if (status == DESTSEG_OK) {
		printf("%s: %s, score %.4f, threshold %.4f\n", path, verdicts[summary.verdict], summary.score, summary.threshold);
		status = print_regions(result, error);
	}
	destseg_result_free(result, NULL); /* 0 after a failure, and that is nothing to free */
	return status;
}

int main(int argc, char **argv) {
	destseg_options options = DESTSEG_OPTIONS_INIT;
	destseg_detector detector;
	destseg_error error;
	int i, failed = 0;
	if (argc < 3) {
		fprintf(stderr, "usage: %s DETECTOR PICTURE...\n", argv[0]);
		return 2;
	}
	options.precision = getenv("DESTSEG_PRECISION"); /* NULL: auto */
	if (destseg_open(argv[1], &options, &detector, &error) != DESTSEG_OK) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	for (i = 2; i < argc; i++) {
		if (inspect(detector, argv[i], &error) != DESTSEG_OK) {
			fprintf(stderr, "%s: %s\n", argv[i], error.message);
			failed = 1;
		}
	}
	destseg_close(detector, NULL);
	return failed;
}
