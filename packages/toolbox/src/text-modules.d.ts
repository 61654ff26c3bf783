/** Sources in other languages that the bundler embeds as text. */
declare module '*.py' {
  const text: string;
  export default text;
}
