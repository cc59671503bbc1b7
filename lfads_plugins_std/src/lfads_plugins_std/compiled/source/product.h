/* Products of a chunk's rows with packed weights, and the product behind the gradient of weights. */

/* One factor: `width` numbers of each row. A product may read several of them side by side. */
typedef struct {
    const REAL *at;
    int64_t stride, width;
} F(part_of_type);
#define part F(part_of_type)

/* Weights lie panel by panel: for each of `depth` inputs, the PANEL (in the last panel, fewer) vectors of its outputs. */
INLINE int64_t F(packed_size)(int64_t depth, int64_t columns) { return depth * F(padded)(columns); }

/* Entry (k, column) of the packed matrix takes from[k * by_k + column * by_column]; k starts at `first`. Padding must have been zeroed. */
static void F(pack)(REAL *packed, int64_t depth, int64_t columns_in_all, int64_t first, int64_t count, int64_t first_column, int64_t columns,
                    const REAL *from, int64_t by_k, int64_t by_column) {
    int64_t vectors = F(padded)(columns_in_all) / LANES;
    for (int64_t c = 0; c < columns; c++) {
        int64_t column = first_column + c, p = column / (PANEL * LANES), width = least(PANEL, vectors - p * PANEL) * LANES;
        REAL *to = packed + p * PANEL * LANES * depth + column % (PANEL * LANES);
        for (int64_t k = 0; k < count; k++) to[(first + k) * width] = from[k * by_k + c * by_column];
    }
}

/* A register tile of `rows` rows and `vectors` vectors; both are constants where this is inlined. */
INLINE void F(tile)(const int rows, const int vectors, const part *parts, int64_t count, int64_t row, const REAL *packed, const REAL *init,
                    int64_t init_stride, REAL *out, int64_t out_stride) {
    vec sum[ROWS][PANEL];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) sum[i][j] = init ? F(load)(init + i * init_stride + j * LANES) : (vec){0};
    for (int64_t s = 0; s < count; s++) {
        const int64_t stride = parts[s].stride;
        const REAL *a = parts[s].at + row * stride, *end = a + parts[s].width;
#pragma GCC unroll 2
        for (; a < end; a++, packed += vectors * LANES) {
            vec b[PANEL];
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) b[j] = F(load)(packed + j * LANES);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
                for (int j = 0; j < vectors; j++) sum[i][j] += b[j] * a[i * stride];
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) F(store)(out + i * out_stride + j * LANES, sum[i][j]);
}

#define EACH_ROWS(V) CASE(1, V) CASE(2, V) CASE(3, V) CASE(4, V) CASE(5, V) CASE(6, V)
#if PANEL == 4
#define EACH_SIZE EACH_ROWS(1) EACH_ROWS(2) EACH_ROWS(3) EACH_ROWS(4)
#else
#define EACH_SIZE EACH_ROWS(1) EACH_ROWS(2)
#endif

/* Rows are cut into the fewest tiles, of sizes as even as can be: a tile of one row is slow. */
INLINE int64_t F(tile_rows)(int64_t left) {
    int64_t tiles = (left + ROWS - 1) / ROWS;
    return (left + tiles - 1) / tiles;
}

/* out (rows, columns) = init + [parts] packed. init: null, a bias (init_stride 0), or rows; out may be init. */
static void F(product)(int64_t rows, int64_t columns, const part *parts, int64_t count, const REAL *packed, const REAL *init,
                       int64_t init_stride, REAL *out, int64_t out_stride) {
    int64_t vectors = F(padded)(columns) / LANES, depth = 0;
    for (int64_t s = 0; s < count; s++) depth += parts[s].width;
    for (int64_t v = 0; v < vectors; v += PANEL) {
        int64_t wide = least(PANEL, vectors - v);
        const REAL *panel = packed + v * LANES * depth, *start = init ? init + v * LANES : NULL;
        for (int64_t row = 0, high; row < rows; row += high) {
            high = F(tile_rows)(rows - row);
            const REAL *begin = start ? start + row * init_stride : NULL;
            REAL *to = out + row * out_stride + v * LANES;
            switch (high * 8 + wide) {
#define CASE(R, V) case R * 8 + V: F(tile)(R, V, parts, count, row, panel, begin, init_stride, to, out_stride); break;
                EACH_SIZE
#undef CASE
            }
        }
    }
}

INLINE void F(outer_tile)(const int rows, const int vectors, int64_t depth, const REAL *a, int64_t a_stride, const REAL *b, int64_t b_stride,
                          REAL *sum_at, int64_t sum_stride) {
    vec sum[ROWS][PANEL];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) sum[i][j] = (vec){0};
#pragma GCC unroll 2
    for (int64_t k = 0; k < depth; k++, a += a_stride, b += b_stride) {
        vec from[PANEL];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) from[j] = F(load)(b + j * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] += from[j] * a[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            REAL *at = sum_at + i * sum_stride + j * LANES;
            F(store)(at, F(load)(at) + sum[i][j]);
        }
}

/* sum (n, columns) += a' b over `depth` rows of a (n wide) and b (columns wide, padded). Each call sums on its own first: less rounding. */
static void F(outer)(int64_t depth, int64_t n, int64_t columns, const REAL *a, int64_t a_stride, const REAL *b, int64_t b_stride, REAL *sum,
                     int64_t sum_stride) {
    int64_t vectors = F(padded)(columns) / LANES;
    for (int64_t v = 0; v < vectors; v += PANEL) {
        int64_t wide = least(PANEL, vectors - v);
        for (int64_t i = 0, high; i < n; i += high) {
            high = F(tile_rows)(n - i);
            switch (high * 8 + wide) {
#define CASE(R, V) \
    case R * 8 + V: F(outer_tile)(R, V, depth, a + i, a_stride, b + v * LANES, b_stride, sum + i * sum_stride + v * LANES, sum_stride); break;
                EACH_SIZE
#undef CASE
            }
        }
    }
}

/* sum (columns) += column sums of b. */
static void F(add_columns)(int64_t depth, int64_t columns, const REAL *b, int64_t b_stride, REAL *sum) {
    for (int64_t v = 0; v < F(padded)(columns); v += LANES) {
        vec total = {0};
        for (int64_t k = 0; k < depth; k++) total += F(load)(b + k * b_stride + v);
        F(store)(sum + v, F(load)(sum + v) + total);
    }
}
