/* All tests of the set-associative array once more, with the plain C of processors without SSE2. */
#undef __SSE2__
#include "tests/unit/test_sarray.c"
