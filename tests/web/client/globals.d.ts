// What browsers have and TypeScript's own description of them lacks.
declare var trustedTypes: any;
