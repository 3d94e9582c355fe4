/* The sandbox of every build that people run. Constant, any thread. */
#include "app/confinement.h"

const bool confinement_has_sandbox = true;
