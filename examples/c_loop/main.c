/* An exported network in a bare loop: a pendulum that it swings up. Nothing here or in controller.c knows of Python.
 *
 *     loop [steps]
 */
#include "controller.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const double DAMPING = 0.2, TORQUE = 0.6, STEP = 0.01;

int main(int argc, char **argv)
{
    const long steps = argc > 1 ? atol(argv[1]) : 1000000;
    double angle = 0.3, rate = 0, torque; /* from hanging [rad], [rad/s] */
    double x[CONTROLLER_INPUTS], work[CONTROLLER_EVAL_WORK / sizeof(double) + 1];
    const clock_t began = clock();
    for (long t = 0; t < steps; t++) {
        x[0] = cos(angle);
        x[1] = sin(angle);
        x[2] = rate;
        controller_eval(x, &torque, NULL, NULL, work);
        torque = fmin(fmax(torque, -TORQUE), TORQUE);
        rate += STEP * (torque - sin(angle) - DAMPING * rate);
        angle += STEP * rate;
    }
    double taken = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("after %ld steps: angle %.12g rad, rate %.12g rad/s\n", steps, angle, rate);
    printf("%.3f us a step\n", 1e6 * taken / (double)(steps > 0 ? steps : 1));
    return 0;
}
