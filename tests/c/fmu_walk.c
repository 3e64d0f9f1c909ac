/* Walk through the functions of an FMU 3.0 with two states, under the names that a program links: for sanitizers.
 *
 * WALK is the file NAME_fmu.c; compiled together with NAME.c. Value references: 1, 2 states, 3 input; 4, 5, 6 outputs.
 */
#include WALK
#include <stdio.h>

#define MUST(condition) do { if (!(condition)) { printf("line %d\n", __LINE__); return 1; } } while (0)
#define OK(call) MUST((call) == fmi3OK)

static void logged(fmi3InstanceEnvironment environment, fmi3Status status UNUSED, fmi3String category UNUSED,
                   fmi3String message)
{
    *(size_t *)environment += strlen(message);
}

int main(void)
{
    static double theta[PARAMS], gradient[PARAMS];
    const fmi3ValueReference all[] = {0, 1, 2, 3, 4, 5, 6}, theta_only[] = {THETA}, unknowns[] = {4, 1, 6},
                             knowns[] = {3, THETA, 2, 0};
    double values[7], seed[PARAMS + 3], result[PARAMS + 3], three[3] = {1, 2, 3}, states[2] = {0.5, -0.5};
    size_t i, size = 0, logs = 0;
    fmi3Boolean flags[5];
    fmi3FMUState copy = NULL, other = NULL;
    fmi3Byte *bytes;
    fmi3Instance I, J;
    MUST(!FULL(fmi3InstantiateModelExchange)("i", "wrong", NULL, false, false, &logs, logged) && logs);
    I = FULL(fmi3InstantiateModelExchange)("i", TOKEN, NULL, false, false, &logs, logged);
    J = FULL(fmi3InstantiateModelExchange)("j", TOKEN, NULL, false, false, NULL, NULL);
    MUST(I && J);
    OK(FULL(fmi3EnterInitializationMode)(I, false, 0, 0, false, 0));
    OK(FULL(fmi3ExitInitializationMode)(I));
    OK(FULL(fmi3UpdateDiscreteStates)(I, flags, flags + 1, flags + 2, flags + 3, flags + 4, values));
    OK(FULL(fmi3GetFloat64)(I, theta_only, 1, theta, PARAMS));
    theta[0] += 1;
    OK(FULL(fmi3SetFloat64)(I, theta_only, 1, theta, PARAMS));
    OK(FULL(fmi3EnterContinuousTimeMode)(I));
    OK(FULL(fmi3SetContinuousStates)(I, states, 2));
    OK(FULL(fmi3GetContinuousStateDerivatives)(I, values, 2));
    OK(FULL(fmi3GetFloat64)(I, all, 7, values, 7));
    for (i = 0; i < PARAMS + 3; i++) seed[i] = 1;
    OK(FULL(fmi3GetDirectionalDerivative)(I, unknowns, 3, knowns, 4, seed, PARAMS + 3, three, 3));
    OK(FULL(fmi3GetAdjointDerivative)(I, unknowns, 3, knowns, 4, seed, 3, result, PARAMS + 3));
    OK(FULL(fmi3GetAdjointDerivative)(I, unknowns, 1, theta_only, 1, seed, 1, gradient, PARAMS));
    MUST(FULL(fmi3GetFloat64)(I, all, 7, values, 6) == fmi3Error);
    MUST(FULL(fmi3SetFloat64)(I, all, 1, values, 1) == fmi3Error);
    OK(FULL(fmi3GetFMUState)(I, &copy));
    OK(FULL(fmi3GetFMUState)(I, &copy));
    OK(FULL(fmi3SerializedFMUStateSize)(I, copy, &size));
    bytes = (fmi3Byte *)malloc(size);
    OK(FULL(fmi3SerializeFMUState)(I, copy, bytes, size));
    OK(FULL(fmi3DeserializeFMUState)(I, bytes, size, &other));
    OK(FULL(fmi3SetFMUState)(J, other));
    OK(FULL(fmi3GetFloat64)(J, theta_only, 1, gradient, PARAMS));
    MUST(!memcmp(theta, gradient, sizeof theta));
    OK(FULL(fmi3FreeFMUState)(I, &copy));
    OK(FULL(fmi3FreeFMUState)(I, &other));
    MUST(!copy && !other);
    OK(FULL(fmi3Terminate)(I));
    OK(FULL(fmi3Reset)(I));
    FULL(fmi3FreeInstance)(I);
    FULL(fmi3FreeInstance)(J);
    FULL(fmi3FreeInstance)(NULL);
    free(bytes);
    printf("walked\n");
    return 0;
}
