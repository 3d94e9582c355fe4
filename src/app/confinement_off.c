/* No sandbox beside sanitizers and line counting. Constant, any thread. */
#include "app/confinement.h"

const bool confinement_has_sandbox = false;
