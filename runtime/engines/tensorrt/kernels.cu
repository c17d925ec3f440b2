// The intensity map on the GPU: the arithmetic of scanside/runtime/intensity.py and cubic.py, float
// by float. Nothing may be fused, reordered or approximated: every operation is an intrinsic that
// rounds once, so that a frame comes out with the very bits that NumPy gives. The source also
// compiles as C++ on a CPU; that is how it is tested where there is no GPU.
//
// kernels.ptx is made from this file and is what ships: no device needs a compiler.

struct Frame {
    int rows, columns;                 // of the source, in pixels
    int padded_rows, padded_columns;   // of the source padded for the network
    int scale;                         // 1 or 2
    int bits;                          // stored; the lowest of a word
    int value_signed, word_signed;     // of the stored value; of the words' own type
    int first_padding, last_padding;   // stored values that are padding; none if first > last
    int lowest;                        // stored value that is no padding
    float zero, span, fade, limit;     // UnitRange, and the largest residual that counts
};

struct Tile {
    int top, left, rows, columns;      // what the network sees, in pixels of the padded source
    int first_row, last_row, first_column, last_column;  // what is kept of it, within the source
};

namespace {

__device__ float bounded(float value, float low, float high) {
    return fminf(fmaxf(value, low), high);
}

__device__ int clamped(int place, int length) {
    return place < 0 ? 0 : place < length ? place : length - 1;
}

// Where padding at the bottom or right comes from: the reflection, or the edge of a short side.
__device__ int mirrored(int place, int length, int padded) {
    if (place < length) return place;
    return padded - length < length ? 2 * (length - 1) - place : length - 1;
}

template <typename Word>
__device__ int stored(const Word *words, const Frame &frame, int row, int column) {
    int value = words[(size_t)row * frame.columns + column] & ((1 << frame.bits) - 1);
    int sign = frame.value_signed << (frame.bits - 1);
    return (value ^ sign) - sign;
}

__device__ bool is_padding(const Frame &frame, int value) {
    return value >= frame.first_padding && value <= frame.last_padding;
}

// A pixel as cubic.fill leaves it after `passes`: itself, or the mean of its neighbours that are
// there after one pass less. `there` tells whether it has a value by then.
template <typename Word, int passes>
struct Filled {
    static __device__ float at(const Word *words, const Frame &frame, int row, int column,
                               bool *there) {
        float before = Filled<Word, passes - 1>::at(words, frame, row, column, there);
        if (*there) return before;
        float total = 0.0f, count = 0.0f;
        for (int y = row - 1; y <= row + 1; ++y) {
            float across = 0.0f;
            for (int x = column - 1; x <= column + 1; ++x) {
                if (y < 0 || y >= frame.rows || x < 0 || x >= frame.columns) continue;
                bool counts;
                float value = Filled<Word, passes - 1>::at(words, frame, y, x, &counts);
                if (!counts) continue;
                across = __fadd_rn(across, value);
                count = __fadd_rn(count, 1.0f);
            }
            total = __fadd_rn(total, across);
        }
        *there = count > 0.0f;
        return *there ? __fdiv_rn(total, count) : 0.0f;
    }
};

template <typename Word>
struct Filled<Word, 0> {
    static __device__ float at(const Word *words, const Frame &frame, int row, int column,
                               bool *there) {
        int value = stored(words, frame, row, column);
        *there = !is_padding(frame, value);
        return (float)value;
    }
};

// FrameMap.unpadded: what the cubic doubles.
template <typename Word>
__device__ float unpadded(const Word *words, const Frame &frame, int row, int column) {
    bool there;
    float value = Filled<Word, 2>::at(words, frame, row, column, &there);
    return there ? value : (float)frame.lowest;
}

// A tap's place: phase 0 lies 1/4 before its pixel, phase 1 lies 1/4 after it.
__device__ int tap(int place, int phase, int number, int length) {
    return clamped(phase ? place + 2 - number : place + number - 2, length);
}

__device__ float weighed(const float *values) {
    float total = __fmul_rn(values[0], -3.0f / 128);
    total = __fadd_rn(total, __fmul_rn(values[1], 29.0f / 128));
    total = __fadd_rn(total, __fmul_rn(values[2], 111.0f / 128));
    return __fadd_rn(total, __fmul_rn(values[3], -9.0f / 128));
}

// cubic.double: along the row first, then down the column.
template <typename Word>
__device__ float doubled(const Word *words, const Frame &frame, int row, int column) {
    float down[4];
    for (int y = 0; y < 4; ++y) {
        float across[4];
        for (int x = 0; x < 4; ++x)
            across[x] = unpadded(words, frame, tap(row / 2, row % 2, y, frame.rows),
                                 tap(column / 2, column % 2, x, frame.columns));
        down[y] = weighed(across);
    }
    return weighed(down);
}

__device__ float position(const Frame &frame, float value) {
    return __fdiv_rn(__fsub_rn(value, frame.zero), frame.span);
}

__device__ float weight(const Frame &frame, float base) {
    float place = position(frame, base);
    float inside = fminf(place, __fsub_rn(1.0f, place));
    if (frame.fade == 0.0f) return inside >= 0.0f ? 1.0f : 0.0f;
    return bounded(__fdiv_rn(inside, frame.fade), 0.0f, 1.0f);
}

// FrameMap.unit, padded as tiling.pad does: the network's input for one tile.
template <typename Word>
__device__ void unit(const Word *words, float *image, const Frame &frame, const Tile &tile) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= tile.columns || y >= tile.rows) return;
    int row = mirrored(tile.top + y, frame.rows, frame.padded_rows);
    int column = mirrored(tile.left + x, frame.columns, frame.padded_columns);
    float value = frame.scale == 1 ? (float)stored(words, frame, row, column)
                                   : unpadded(words, frame, row, column);
    image[(size_t)y * tile.columns + x] = bounded(position(frame, value), 0.0f, 1.0f);
}

// FrameMap.apply for what is kept of one tile. Sets *flaw where the residual is not finite.
template <typename Word>
__device__ void apply(const Word *words, const float *residual, Word *out, int *flaw,
                      const Frame &frame, const Tile &tile) {
    int scale = frame.scale;
    int column = tile.first_column * scale + blockIdx.x * blockDim.x + threadIdx.x;
    int row = tile.first_row * scale + blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= tile.last_column * scale || row >= tile.last_row * scale) return;
    float change = residual[(size_t)(row - tile.top * scale) * (tile.columns * scale) + column -
                            tile.left * scale];
    // Not finite. Written by many, all of them the same: no race counts.
    if (!(fabsf(change) <= 3.402823466e38f)) *flaw = 1;
    int source = stored(words, frame, row / scale, column / scale);
    bool padding = is_padding(frame, source);
    float base = scale == 1 || padding ? (float)source : doubled(words, frame, row, column);
    float low = frame.value_signed ? (float)-(1 << (frame.bits - 1)) : 0.0f;
    float high = (float)((1 << (frame.bits - frame.value_signed)) - 1);
    float influence = padding ? 0.0f : weight(frame, bounded(base, low, high));
    change = __fmul_rn(bounded(change, -frame.limit, frame.limit), frame.span);
    float changed = __fadd_rn(base, __fmul_rn(influence, change));
    int value = (int)bounded(rintf(changed), low, high);
    if (scale == 1) {
        // frame.merge_stored: bits above the stored ones are kept, unless they repeat the sign.
        int word = words[(size_t)row * frame.columns + column];
        int mask = (1 << frame.bits) - 1, sign = 1 << (8 * (int)sizeof(Word) - 1);
        int old = frame.word_signed ? (word ^ sign) - sign : word;
        if (!(frame.value_signed && old == source)) value = (value & mask) | (old & ~mask);
    }
    out[(size_t)row * (frame.columns * scale) + column] = (Word)value;
}

}  // namespace

extern "C" {

__global__ void unit8(const unsigned char *words, float *image, Frame frame, Tile tile) {
    unit(words, image, frame, tile);
}

__global__ void unit16(const unsigned short *words, float *image, Frame frame, Tile tile) {
    unit(words, image, frame, tile);
}

__global__ void apply8(const unsigned char *words, const float *residual, unsigned char *out,
                       int *flaw, Frame frame, Tile tile) {
    apply(words, residual, out, flaw, frame, tile);
}

__global__ void apply16(const unsigned short *words, const float *residual, unsigned short *out,
                        int *flaw, Frame frame, Tile tile) {
    apply(words, residual, out, flaw, frame, tile);
}

}  // extern "C"
