/**
 * A canvas as a React hook. React is a peer: where it cannot be imported by name, use what `hookOf` makes of it.
 */

import * as React from "react";
import { hookOf } from "./hook.js";

export const useCanvasStreamOps = hookOf(React);
