/* The model behind the functions of FMI.
 *
 *   x      (INPUTS,)   the inputs of the net; those in state_inputs are continuous states
 *   y      (OUTPUTS,)  its outputs; those in state_outputs are the derivatives of the states, in the same order
 *   theta  (PARAMS,)   its parameters: in an instance if they are TUNABLE, else constants of the net
 *
 * Value references: 0 time, then the inputs, the outputs, theta.
 */
enum { TIME, FIRST_INPUT, FIRST_OUTPUT = FIRST_INPUT + INPUTS, THETA = FIRST_OUTPUT + OUTPUTS };
enum { INSTANTIATED = 1, INITIALIZATION = 2, EVENT = 4, CONTINUOUS = 8, STEP = 16, TERMINATED = 32 };
enum { RUNNING = EVENT | CONTINUOUS | STEP, BEGUN = INITIALIZATION | RUNNING | TERMINATED, ANY = INSTANTIATED | BEGUN };
enum { Y = 1, JX = 2 };

typedef struct { /* all that a simulation continues from */
    double time, x[INPUTS];
#if TUNABLE
    double theta[PARAMS];
#endif
    int mode;
} State;

typedef struct {
    State now;
    Host host;
    int co_simulation;
    int known; /* Y, JX: what holds for x and theta as they are now */
    double y[OUTPUTS], jx[OUTPUTS * INPUTS];
    double u[OUTPUTS], v[INPUTS], grad_x[INPUTS]; /* of a derivative that is asked for */
#if TUNABLE
    double grad_theta[PARAMS];
#endif
    double work[(WORK + sizeof(double) - 1) / sizeof(double)];
} Instance;

#if TUNABLE
#define PARAMETERS(I) (I)->now.theta,
#define GRADIENT(I) (I)->grad_theta
#else
#define PARAMETERS(I)
#define GRADIENT(I) NULL
#endif

static void restart(Instance *I)
{
    I->now.mode = INSTANTIATED;
    I->now.time = 0;
    memcpy(I->now.x, start, sizeof start);
#if TUNABLE
    memcpy(I->now.theta, theta_start, sizeof theta_start);
#endif
    I->known = 0;
}

/* NULL, after a message, if this is not the description of this FMU, or there is no memory. */
static Instance *created(const char *given, int co_simulation, Host host)
{
    Instance *I = NULL;
    if (!given || strcmp(given, TOKEN))
        log_error(&host, "the guid or instantiation token is not that of this FMU");
    else if (co_simulation && STATES > 0)
        log_error(&host, "an FMU with states is for Model Exchange only");
    else if (!(I = (Instance *)calloc(1, sizeof *I)))
        log_error(&host, "no memory for an instance");
    else {
        I->host = host;
        I->co_simulation = co_simulation;
        restart(I);
    }
    return I;
}

/* Whether a function may be called now. */
static int allowed(const Instance *I, int modes, const char *refusal)
{
    if (!I) return 0;
    if (!(I->now.mode & modes)) log_error(&I->host, refusal);
    return (I->now.mode & modes) != 0;
}
#define MAY(function, modes) allowed(I, modes, #function " must not be called in this mode")

static int moved(Instance *I, int mode)
{
    I->now.mode = mode;
    return 1;
}

/* Refuse, if a condition does not hold. */
static int holds(const Instance *I, int condition, const char *refusal)
{
    if (!condition) log_error(&I->host, refusal);
    return condition;
}

static int is_input(Reference r) { return r >= FIRST_INPUT && r < FIRST_OUTPUT; }
static int is_output(Reference r) { return r >= FIRST_OUTPUT && r < THETA; }
static int is_theta(Reference r) { return TUNABLE && r == THETA; }
static int is_time(Reference r) { return TUNABLE && r == TIME; }
static int is_state(Reference r)
{
    int k;
    for (k = 0; k < STATES; k++)
        if (r == FIRST_INPUT + (Reference)state_inputs[k]) return 1;
    return 0;
}

/* The numbers of some variables; `valid` says which of them may be among them. SIZE_MAX, after a message: another is */
static size_t count(const Instance *I, const Reference r[], size_t n, int (*valid)(const Instance *, Reference))
{
    size_t i, sum = 0;
    for (i = 0; i < n; i++) {
        if (!holds(I, valid(I, r[i]), "a value reference is not that of a variable which this call can serve"))
            return SIZE_MAX;
        sum += is_theta(r[i]) ? PARAMS : 1;
    }
    return sum;
}

static int can_get(const Instance *I UNUSED, Reference r)
{
    return is_input(r) || is_output(r) || is_theta(r) || is_time(r);
}

static int can_set(const Instance *I, Reference r)
{
    const int before = I->now.mode & (INSTANTIATED | INITIALIZATION);
    if (is_theta(r)) return before || I->now.mode & (EVENT | STEP);
    return is_input(r) && (before || !is_state(r)) && I->now.mode != TERMINATED;
}

static int can_be_known(const Instance *I UNUSED, Reference r) { return is_input(r) || is_theta(r) || is_time(r); }
static int can_be_unknown(const Instance *I UNUSED, Reference r) { return is_output(r) || is_state(r); }

/* y, and dy/dx if it is wanted, as x and theta are now. */
static void evaluate(Instance *I, int wanted)
{
    if ((I->known & wanted) == wanted) return;
    NET(eval)(PARAMETERS(I) I->now.x, I->y, wanted & JX ? I->jx : NULL, NULL, I->work);
    I->known |= wanted | Y;
}

static int get_values(Instance *I, const Reference r[], size_t n, double values[], size_t n_values)
{
    size_t i;
    const size_t sum = count(I, r, n, can_get);
    if (sum == SIZE_MAX || !holds(I, sum == n_values, "the number of values is not that of the variables")) return 0;
    for (i = 0; i < n; i++) {
        if (is_output(r[i])) {
            evaluate(I, Y);
            *values++ = I->y[r[i] - FIRST_OUTPUT];
        } else if (is_input(r[i]))
            *values++ = I->now.x[r[i] - FIRST_INPUT];
#if TUNABLE
        else if (is_theta(r[i])) {
            memcpy(values, I->now.theta, sizeof I->now.theta);
            values += PARAMS;
        }
#endif
        else
            *values++ = I->now.time;
    }
    return 1;
}

static int set_values(Instance *I, const Reference r[], size_t n, const double values[], size_t n_values)
{
    size_t i;
    const size_t sum = count(I, r, n, can_set);
    if (sum == SIZE_MAX || !holds(I, sum == n_values, "the number of values is not that of the variables")) return 0;
    for (i = 0; i < n; i++)
        if (is_input(r[i]))
            I->now.x[r[i] - FIRST_INPUT] = *values++;
#if TUNABLE
        else {
            memcpy(I->now.theta, values, sizeof I->now.theta);
            values += PARAMS;
        }
#endif
    I->known = 0;
    return 1;
}

/* The derivatives of the unknowns along a change of the knowns; a state that is unknown is its own value. */
static int directional(Instance *I, const Reference unknowns[], size_t n_unknowns, const Reference knowns[],
                       size_t n_knowns, const double change[], double result[])
{
    size_t i, k;
    int j;
    memset(I->v, 0, sizeof I->v);
    for (k = 0, i = 0; k < n_knowns; k++) {
        if (is_input(knowns[k])) I->v[knowns[k] - FIRST_INPUT] += change[i];
        i += is_theta(knowns[k]) ? PARAMS : 1;
    }
    evaluate(I, JX);
    for (i = 0; i < n_unknowns; i++) {
        const Reference o = unknowns[i] - FIRST_OUTPUT;
        result[i] = 0;
        if (is_input(unknowns[i])) {
            result[i] = I->v[unknowns[i] - FIRST_INPUT];
            continue;
        }
        for (j = 0; j < INPUTS; j++) result[i] += I->jx[o * INPUTS + (Reference)j] * I->v[j];
#if TUNABLE
        {
            const double *along = change;
            for (k = 0; k < n_knowns; k++) {
                if (is_theta(knowns[k])) {
                    memset(I->u, 0, sizeof I->u);
                    I->u[o] = 1;
                    NET(vjp)(PARAMETERS(I) I->now.x, I->u, I->grad_theta, NULL, I->work);
                    for (j = 0; j < PARAMS; j++) result[i] += I->grad_theta[j] * along[j];
                }
                along += is_theta(knowns[k]) ? PARAMS : 1;
            }
        }
#endif
    }
    return 1;
}

/* How many continuous states a call is about. */
static int right_count(const Instance *I, size_t n) { return holds(I, n == STATES, "the number of states is wrong"); }

static int get_states(const Instance *I, double states[], size_t n)
{
    int k;
    if (!right_count(I, n)) return 0;
    for (k = 0; k < STATES; k++) states[k] = I->now.x[state_inputs[k]];
    return 1;
}

static int set_states(Instance *I, const double states[], size_t n)
{
    int k;
    if (!right_count(I, n)) return 0;
    for (k = 0; k < STATES; k++) I->now.x[state_inputs[k]] = states[k];
    I->known = 0;
    return 1;
}

static int get_derivatives(Instance *I, double derivatives[], size_t n)
{
    int k;
    if (!right_count(I, n)) return 0;
    if (STATES) evaluate(I, Y);
    for (k = 0; k < STATES; k++) derivatives[k] = I->y[state_outputs[k]];
    return 1;
}

static int get_nominals(const Instance *I, double values[], size_t n)
{
    int k;
    if (!right_count(I, n)) return 0;
    for (k = 0; k < STATES; k++) values[k] = nominals[k];
    return 1;
}

/* Co-Simulation: nothing happens between communication points, but time passes. */
static int step(Instance *I, double time, double size)
{
    if (!holds(I, size > 0, "the step must be greater than zero")) return 0;
    I->now.time = time + size;
    return 1;
}

/* Copies of State: what the standard calls an FMU state */
static int save(const Instance *I, void **copy)
{
    if (!*copy) *copy = malloc(sizeof(State));
    if (!holds(I, *copy != NULL, "no memory for a state")) return 0;
    memcpy(*copy, &I->now, sizeof(State));
    return 1;
}

static int restore(Instance *I, const void *copy)
{
    if (!holds(I, copy != NULL, "there is no state to restore")) return 0;
    memcpy(&I->now, copy, sizeof(State));
    I->known = 0;
    return 1;
}

static int discard(void **copy)
{
    if (copy) {
        free(*copy);
        *copy = NULL;
    }
    return 1;
}

static int as_bytes(const Instance *I, const void *copy, void *bytes, size_t size)
{
    if (!holds(I, copy && size == sizeof(State), "the number of bytes is not that of a state")) return 0;
    memcpy(bytes, copy, sizeof(State));
    return 1;
}

static int from_bytes(const Instance *I, const void *bytes, size_t size, void **copy)
{
    if (!holds(I, size == sizeof(State), "the number of bytes is not that of a state")) return 0;
    if (!*copy) *copy = malloc(sizeof(State));
    if (!holds(I, *copy != NULL, "no memory for a state")) return 0;
    memcpy(*copy, bytes, sizeof(State));
    return 1;
}
