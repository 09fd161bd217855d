export const dynamic = "force-dynamic";

export default async function Page() {
  const answer = await fetch(`${process.env.API_URL}/api/greeting`, { cache: "no-store" });
  const { greeting, slot } = await answer.json();
  return (
    <main>
      <h1>{greeting}</h1>
      <p>rendered by next, slot {slot}</p>
    </main>
  );
}
