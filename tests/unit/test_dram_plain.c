/* Two times at once, once more with the plain C of processors without SSE2; the channel itself is the program's. */
#undef __SSE2__
#include "tests/unit/test_dram.c"
